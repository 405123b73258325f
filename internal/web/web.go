// Package web serves the pages beside the API: Swagger UI, which is embedded in the binary.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/swaggest/swgui/v5/static"
)

//go:embed docs.html docs.css docs.js
var own embed.FS

// pagePolicy lets the page of Swagger UI load scripts and styles from this server alone, none of them inline. Its stylesheet has
// pictures as data: URLs.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// asset is a file as it is served.
type asset struct {
	kind   string // its Content-Type
	tag    string // its ETag, a weak one: the same for the gzipped form
	plain  []byte // nil if it is embedded gzipped alone
	zipped []byte // nil for pictures
}

// Docs returns the handler of Swagger UI: its page at /docs and its files below. The page shows the openapi.json that lies beside
// it, and names all files relative to itself.
func Docs() (http.Handler, error) {
	assets := make(map[string]asset)
	for name, files := range map[string]fs.ReadFileFS{
		"docs.html": own, "docs.css": own, "docs.js": own,
		"swagger-ui.css.gz": static.FS, "swagger-ui-bundle.js.gz": static.FS, "favicon-32x32.png": static.FS, "favicon-16x16.png": static.FS,
	} {
		content, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("an embedded file: %w", err)
		}
		one := newAsset(name, content)
		assets[strings.TrimSuffix(name, ".gz")] = one
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, below := strings.CutPrefix(r.URL.Path, "/docs/")
		if !below {
			name = "docs.html"
		}
		if one, ok := assets[name]; ok && below == (name != "docs.html") {
			one.serve(w, r)
			return
		}
		http.NotFound(w, r)
	}), nil
}

func newAsset(name string, content []byte) asset {
	sum := sha256.Sum256(content)
	a := asset{tag: `W/"` + hex.EncodeToString(sum[:8]) + `"`, plain: content}
	if base, zipped := strings.CutSuffix(name, ".gz"); zipped {
		name, a.plain, a.zipped = base, nil, content
	}
	// Not by mime.TypeByExtension, which asks the machine's tables.
	switch path.Ext(name) {
	case ".html":
		a.kind = "text/html; charset=utf-8"
	case ".css":
		a.kind = "text/css; charset=utf-8"
	case ".js":
		a.kind = "text/javascript; charset=utf-8"
	default:
		a.kind = "image/png"
	}
	return a
}

// serve answers with the asset, gzipped as it is embedded where the client takes that.
func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", a.kind)
	header.Set("Cache-Control", "no-cache") // kept, and asked for again: another version of the server has other files
	header.Set("ETag", a.tag)
	header.Set("Content-Security-Policy", pagePolicy)
	content := a.plain
	if a.zipped != nil {
		header.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header["Accept-Encoding"]) {
			header.Set("Content-Encoding", "gzip")
			content = a.zipped
		} else if content = unzip(a.zipped); content == nil {
			http.Error(w, "a file of the page is broken", http.StatusInternalServerError)
			return
		}
	}
	r = r.Clone(r.Context())
	r.Header.Del("Range") // of which form it would be a part isn't said
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// unzip returns nil for what isn't gzip.
func unzip(zipped []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil
	}
	content, err := io.ReadAll(z)
	if err != nil {
		return nil
	}
	return content
}

// acceptsGzip reads Accept-Encoding, RFC 9110 section 12.5.3.
func acceptsGzip(lines []string) bool {
	accepted := false
	for coding := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, weight, weighted := strings.Cut(coding, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "gzip" && name != "x-gzip" && name != "*" {
			continue
		}
		quality := 1.0
		if text, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(weight, " ", "")), "q="); ok && weighted {
			quality, _ = strconv.ParseFloat(text, 64) // what is no number is none
		}
		if accepted = quality > 0; name != "*" { // the name counts more than the asterisk
			return accepted
		}
	}
	return accepted
}
