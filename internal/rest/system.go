package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	gen "tim/gen/api"
	"tim/internal/fault"
)

// Index redirects to the documentation. Where the public address isn't set, a proxy may have removed a path that this server
// doesn't know, so the redirect is relative.
func (h *handlers) Index(ctx context.Context, _ gen.IndexRequestObject) (gen.IndexResponseObject, error) {
	docs := "docs"
	asked, _, _ := strings.Cut(requestOf(ctx).http.RequestURI, "?")
	if public := h.proxies.public; public != (address{}) {
		docs = public.path + "/docs"
	} else if strings.HasSuffix(asked, docsFolder) {
		docs = "../docs"
	}
	return gen.Index302Response{Headers: gen.Index302ResponseHeaders{Location: &docs}}, nil
}

// page is an answer that an http.Handler writes.
type page struct {
	request *http.Request
	handler http.Handler
}

// VisitDocsResponse lets the handler answer.
func (p page) VisitDocsResponse(w http.ResponseWriter) error {
	p.handler.ServeHTTP(wholeOnly{w}, p.request)
	return nil
}

// wholeOnly is a response that doesn't offer ranges, which http.ServeContent always does.
type wholeOnly struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w wholeOnly) WriteHeader(status int) {
	w.Header().Del("Accept-Ranges")
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find the connection.
func (w wholeOnly) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// VisitDocsAssetResponse lets the handler answer.
func (p page) VisitDocsAssetResponse(w http.ResponseWriter) error { return p.VisitDocsResponse(w) }

// Docs shows Swagger UI.
func (h *handlers) Docs(ctx context.Context, _ gen.DocsRequestObject) (gen.DocsResponseObject, error) {
	return page{requestOf(ctx).http, h.docs}, nil
}

// DocsAsset sends a file of Swagger UI.
func (h *handlers) DocsAsset(ctx context.Context, r gen.DocsAssetRequestObject) (gen.DocsAssetResponseObject, error) {
	switch r.Asset {
	case "docs.css", "docs.js", "swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "favicon-16x16.png":
		return page{requestOf(ctx).http, h.docs}, nil
	}
	return nil, fault.New(fault.UnknownRoute)
}

// document is a spec as it is served, made once, at the start.
type document struct {
	kind    string // its Content-Type
	tag     string // its ETag, a weak one: the same in every Content-Encoding
	content []byte
}

func newDocument(kind string, content []byte) document {
	sum := sha256.Sum256(content)
	return document{kind, `W/"` + hex.EncodeToString(sum[:8]) + `"`, content}
}

// documentAnswer is a document as the answer to a request.
type documentAnswer struct {
	document

	request *http.Request
}

func (h *handlers) answer(ctx context.Context, d document) documentAnswer {
	return documentAnswer{d, requestOf(ctx).http}
}

func (d documentAnswer) visit(w http.ResponseWriter) error {
	header := w.Header()
	header.Set("Content-Type", d.kind)
	header.Set("Cache-Control", "no-cache") // kept, and asked for again: another version of the server has another spec
	header.Set("ETag", d.tag)
	r := d.request.Clone(d.request.Context())
	r.Header.Del("Range") // a part of a document that may be compressed is of no use
	http.ServeContent(wholeOnly{w}, r, "", time.Time{}, bytes.NewReader(d.content))
	return nil
}

// VisitOpenapiYamlResponse and the similar methods below make a document the answer of every route that sends one.
func (d documentAnswer) VisitOpenapiYamlResponse(w http.ResponseWriter) error { return d.visit(w) }

// VisitOpenapiJSONResponse is like VisitOpenapiYamlResponse.
func (d documentAnswer) VisitOpenapiJSONResponse(w http.ResponseWriter) error { return d.visit(w) }

// VisitAPIOpenapiYamlResponse is like VisitOpenapiYamlResponse.
func (d documentAnswer) VisitAPIOpenapiYamlResponse(w http.ResponseWriter) error { return d.visit(w) }

// VisitAPIFramesYamlResponse is like VisitOpenapiYamlResponse.
func (d documentAnswer) VisitAPIFramesYamlResponse(w http.ResponseWriter) error { return d.visit(w) }

// VisitAsyncapiYamlResponse is like VisitOpenapiYamlResponse.
func (d documentAnswer) VisitAsyncapiYamlResponse(w http.ResponseWriter) error { return d.visit(w) }

// OpenapiYaml sends the REST spec.
func (h *handlers) OpenapiYaml(ctx context.Context, _ gen.OpenapiYamlRequestObject) (gen.OpenapiYamlResponseObject, error) {
	return h.answer(ctx, h.specs.openAPI), nil
}

// OpenapiJSON sends the REST spec as JSON.
func (h *handlers) OpenapiJSON(ctx context.Context, _ gen.OpenapiJSONRequestObject) (gen.OpenapiJSONResponseObject, error) {
	return h.answer(ctx, h.specs.openAPIJSON), nil
}

// APIOpenapiYaml sends the REST spec under its path in the tree.
func (h *handlers) APIOpenapiYaml(ctx context.Context, _ gen.APIOpenapiYamlRequestObject) (gen.APIOpenapiYamlResponseObject, error) {
	return h.answer(ctx, h.specs.openAPIBelow), nil
}

// APIFramesYaml sends the schemas of the frames.
func (h *handlers) APIFramesYaml(ctx context.Context, _ gen.APIFramesYamlRequestObject) (gen.APIFramesYamlResponseObject, error) {
	return h.answer(ctx, h.specs.frames), nil
}

// AsyncapiYaml sends the spec of the sockets.
func (h *handlers) AsyncapiYaml(ctx context.Context, _ gen.AsyncapiYamlRequestObject) (gen.AsyncapiYamlResponseObject, error) {
	return h.answer(ctx, h.specs.asyncAPI), nil
}

// Healthz answers that the process is alive.
func (h *handlers) Healthz(context.Context, gen.HealthzRequestObject) (gen.HealthzResponseObject, error) {
	return gen.Healthz200JSONResponse{Code: fault.CodeSuccess, Message: "ok"}, nil
}

// readyDeadline is how long a dependency may take to answer.
const readyDeadline = 3 * time.Second

// Readyz checks every dependency.
func (h *handlers) Readyz(ctx context.Context, _ gen.ReadyzRequestObject) (gen.ReadyzResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, readyDeadline)
	defer cancel()
	states, ready := h.ready(ctx)
	if ready {
		return gen.Readyz200JSONResponse{Code: fault.CodeSuccess, Message: "ok", Data: states}, nil
	}
	reason := gen.Reason(fault.Unavailable)
	return gen.Readyz503JSONResponse{
		Code: fault.CodeFailure, Message: fault.New(fault.Unavailable).Text("").In(requestOf(ctx).language), Reason: &reason, Data: states,
	}, nil
}
