package rest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"tim/internal/fault"
)

// traits are what an operation of api/openapi.yaml says by extensions of this project (x-tim-…).
type traits struct {
	rateLimited  bool
	expiredToken bool
	uncompressed bool
	contract     bool // an operation of the original's interface
	lenient      lenient
	textFailures textFailures
}

const (
	// traitPrefix begins the names of the project's extensions.
	traitPrefix = "x-tim-"
	// rateLimitedTrait, a boolean, makes the server count each request against the account's rate of sending.
	rateLimitedTrait = traitPrefix + "rate-limited"
	// expiredTokenTrait, a boolean, lets the token of a request have expired. The use case checks its session.
	expiredTokenTrait = traitPrefix + "expired-token"
	// uncompressedTrait, a boolean, keeps an answer that has a secret from being compressed.
	uncompressedTrait = traitPrefix + "uncompressed"
	// lenientTrait, a boolean, marks an operation of the original's interface, for which lenient.go converts what clients send.
	lenientTrait = traitPrefix + "lenient"
	// defaultsTrait, an object with names of fields, gives a field that is missing or empty the value of another one.
	defaultsTrait = traitPrefix + "defaults"
	// textFailuresTrait, a textFailures, makes some failures plain text instead of the envelope, as Tim.md has them.
	textFailuresTrait = traitPrefix + "text-failures"
)

// textFailures says in which words of Tim.md a file route tells its own failures.
type textFailures string

const (
	envelopeFailures textFailures = ""         // none: each failure is an envelope
	avatarFailures   textFailures = "avatar"   // an empty text where there is no avatar
	uploadFailures   textFailures = "upload"   // 上传失败, or the types of file that are accepted
	downloadFailures textFailures = "download" // 下载失败
)

// traitsOf reads an operation's traits, which checkTraits has checked.
func traitsOf(o *openapi3.Operation, method string) (t traits) {
	t.rateLimited, _ = o.Extensions[rateLimitedTrait].(bool)
	t.expiredToken, _ = o.Extensions[expiredTokenTrait].(bool)
	t.uncompressed, _ = o.Extensions[uncompressedTrait].(bool)
	if t.contract, _ = o.Extensions[lenientTrait].(bool); t.contract {
		t.lenient = lenientFor(o, method, defaultsOf(o.Extensions[defaultsTrait]))
	}
	kind, _ := o.Extensions[textFailuresTrait].(string)
	t.textFailures = textFailures(kind)
	return t
}

// defaultsOf reads the names of fields and of those that stand in for them, nil if it is no object of strings.
func defaultsOf(value any) map[string]string {
	object, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	names := make(map[string]string, len(object))
	for name, from := range object {
		if names[name], ok = from.(string); !ok {
			return nil
		}
	}
	return names
}

// checkTraits returns an error for a trait that this server doesn't know: a slip in its name must not switch it off.
func checkTraits(spec *openapi3.T) error {
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			for _, name := range slices.Sorted(maps.Keys(o.Extensions)) {
				if value := o.Extensions[name]; strings.HasPrefix(name, traitPrefix) && !knownTrait(name, value) {
					return fmt.Errorf("%s %s in the spec: unknown trait %s: %v", method, path, name, value)
				}
			}
		}
	}
	return nil
}

func knownTrait(name string, value any) bool {
	switch name {
	case rateLimitedTrait, expiredTokenTrait, uncompressedTrait, lenientTrait:
		_, ok := value.(bool)
		return ok
	case defaultsTrait:
		return len(defaultsOf(value)) > 0
	case textFailuresTrait:
		kind, ok := value.(string)
		return ok && slices.Contains([]textFailures{avatarFailures, uploadFailures, downloadFailures}, textFailures(kind))
	default:
		return false
	}
}

// has reports whether a failure with this reason is plain text. Failures that concern tokens, rights and parameters are
// envelopes on every route.
func (f textFailures) has(reason fault.Reason) bool {
	switch reason {
	case fault.UnknownAccount, fault.NoAvatar:
		return f == avatarFailures
	case fault.MalformedUpload, fault.RequestTimeout, fault.FileTooLarge, fault.UnsupportedFileType, fault.UnsupportedMediaType,
		fault.UnsupportedEncoding, fault.QuotaExceeded, fault.StorageFull:
		return f == uploadFailures
	case fault.UnknownFile:
		return true
	case fault.Unavailable, fault.Internal:
		return f == uploadFailures || f == downloadFailures
	default:
		return false
	}
}

// text is the plain text of a failure on an operation.
func (f textFailures) text(of *fault.Fault, operation string) fault.Text {
	switch {
	case f == avatarFailures:
		return fault.Text{} // Tim.md answers an empty body
	case of.Reason == fault.UnsupportedFileType, of.Reason == fault.UnknownFile:
		return of.Text(operation)
	case f == uploadFailures:
		return fault.UploadFailed.Text()
	default:
		return fault.DownloadFailed.Text()
	}
}
