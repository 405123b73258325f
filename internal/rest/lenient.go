package rest

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"tim/internal/fault"
	"tim/internal/schema"
)

// Front ends of the original send what forms give them: an age as "12" or "", a password as a number, parameters in a form. Its
// framework converted all of that. For the operations with the trait x-tim-lenient the gate converts it too, before it checks
// anything. What can't be converted stays, and is refused as everywhere else.

// lenient says what is converted for one operation. The zero value converts nothing.
type lenient struct {
	body       schema.Lenient
	parameters map[string]bool // of the query, and whether they are integers
	form       bool            // parameters may come in a form
}

// maxForm bounds a form with parameters, in bytes.
const maxForm = 64 << 10

// lenientFor returns what is converted for an operation that has the trait.
func lenientFor(o *openapi3.Operation, method string, defaults map[string]string) lenient {
	l := lenient{parameters: make(map[string]bool), form: method == http.MethodPost && o.RequestBody == nil}
	for _, p := range o.Parameters {
		if p.Value.In == openapi3.ParameterInQuery {
			l.parameters[p.Value.Name] = p.Value.Schema.Value.Type.Is(openapi3.TypeInteger)
		}
	}
	if o.RequestBody == nil || o.RequestBody.Value.Content.Get("application/json") == nil {
		return l
	}
	l.body = schema.Lenient{Fields: make(map[string]schema.Lenience), Defaults: defaults}
	for name, property := range o.RequestBody.Value.Content.Get("application/json").Schema.Value.Properties {
		l.body.Fields[name] = schema.Lenience{
			Integer: property.Value.Type.Is(openapi3.TypeInteger), Nullable: property.Value.Nullable,
		}
	}
	return l
}

// asTheOriginal routes a request of the original's interface as the original did: with a slash at the end of the path too, and an
// upload by any method that can have a body.
func (g *gate) asTheOriginal(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if path, slash := strings.CutSuffix(r.URL.RawPath, "/"); slash && g.isContract(path) {
			r.URL.Path, r.URL.RawPath = path, path
		}
		if r.Method == http.MethodPut || r.Method == http.MethodPatch || r.Method == http.MethodDelete || r.Method == http.MethodGet {
			op := g.operations[route{http.MethodPost, r.URL.RawPath}]
			if op.upload && op.traits.contract && mediaOf(r.Header) == "multipart/form-data" {
				r.Method = http.MethodPost
			}
		}
		return next(c)
	}
}

// isContract reports whether a path is a route of the original's interface.
func (g *gate) isContract(path string) bool {
	return g.operations[route{http.MethodGet, path}].traits.contract || g.operations[route{http.MethodPost, path}].traits.contract
}

// query converts the parameters of a request, and takes those that came in a form into its query. A parameter may be in both
// if it is the same. hurry is called when a form is read, and what it returns afterwards.
func (l lenient) query(c echo.Context, hurry func(echo.Context) func() bool) error {
	if len(l.parameters) == 0 {
		return nil
	}
	r := c.Request()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil //nolint:nilerr // checkParameters refuses it
	}
	form, err := l.formOf(c, hurry)
	if err != nil {
		return err
	}
	for name, integer := range l.parameters {
		values := append(slices.Clone(query[name]), form[name]...)
		if integer {
			for i := range values {
				values[i] = parameterInteger(values[i])
			}
		}
		if len(form[name]) > 0 {
			values = slices.Compact(values)
		}
		if len(values) > 0 {
			query[name] = values
		}
	}
	r.URL.RawQuery = query.Encode()
	return nil
}

// parameterInteger returns an integer of a query in plain digits, or the text as it is. The original's framework ignored blanks,
// and took a sign, hexadecimal numbers and digits of full width.
func parameterInteger(text string) string {
	trimmed := strings.Map(func(c rune) rune {
		switch {
		case c == '\u00a0' || c == '\u2007' || c == '\u202f': // no-break spaces, which Java takes for no blanks
			return c
		case unicode.IsSpace(c):
			return -1
		case c >= '０' && c <= '９':
			return c - '０' + '0'
		default:
			return c
		}
	}, text)
	base, digits := 10, trimmed
	if hex, ok := strings.CutPrefix(strings.ToLower(trimmed), "0x"); ok {
		base, digits = 16, hex
	} else if hex, ok := strings.CutPrefix(trimmed, "#"); ok {
		base, digits = 16, hex
	}
	if n, err := strconv.ParseInt(digits, base, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	return text
}

// formOf returns the parameters of a form in the body, none if there is no form.
func (l lenient) formOf(c echo.Context, hurry func(echo.Context) func() bool) (url.Values, error) {
	r := c.Request()
	media := mediaOf(r.Header)
	if !l.form || media != "application/x-www-form-urlencoded" && media != "multipart/form-data" {
		return url.Values{}, nil
	}
	if err := checkCoding(r.Header, c.Response().Header()); err != nil {
		return nil, err
	}
	if r.ContentLength > maxForm { // no need to wait for it
		return nil, tooLarge(maxForm)
	}
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxForm)
	var err error
	done := hurry(c)
	if media == "application/x-www-form-urlencoded" {
		err = r.ParseForm()
	} else {
		err = r.ParseMultipartForm(maxForm) // so all of it stays in memory
	}
	done()
	if err == nil {
		return r.PostForm, nil
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, tooLarge(maxForm)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, tooSlow(err)
	}
	return nil, fault.Wrap(fault.InvalidParameter, err)
}
