package rest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"tim/api"
	gen "tim/gen/api"
	"tim/gen/specs"
	"tim/internal/fault"
)

// Index redirects to the documentation.
func (h *handlers) Index(context.Context, gen.IndexRequestObject) (gen.IndexResponseObject, error) {
	docs := "/docs"
	return gen.Index302Response{Headers: gen.Index302ResponseHeaders{Location: &docs}}, nil
}

// page is an answer that an http.Handler writes.
type page struct {
	request *http.Request
	handler http.Handler
}

// VisitDocsResponse lets the handler answer.
func (p page) VisitDocsResponse(w http.ResponseWriter) error {
	p.handler.ServeHTTP(w, p.request)
	return nil
}

// VisitDocsAssetResponse lets the handler answer.
func (p page) VisitDocsAssetResponse(w http.ResponseWriter) error { return p.VisitDocsResponse(w) }

// Docs shows Swagger UI.
func (h *handlers) Docs(ctx context.Context, _ gen.DocsRequestObject) (gen.DocsResponseObject, error) {
	return page{requestOf(ctx).http, h.docs}, nil
}

// DocsAsset sends a file of Swagger UI.
func (h *handlers) DocsAsset(ctx context.Context, r gen.DocsAssetRequestObject) (gen.DocsAssetResponseObject, error) {
	switch r.Asset {
	case "swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "favicon-32x32.png", "favicon-16x16.png":
		return page{requestOf(ctx).http, h.docs}, nil
	}
	return nil, fault.New(fault.UnknownRoute)
}

func yamlOf(text string) (*strings.Reader, int64) { return strings.NewReader(text), int64(len(text)) }

// OpenapiYaml sends the REST spec.
func (h *handlers) OpenapiYaml(context.Context, gen.OpenapiYamlRequestObject) (gen.OpenapiYamlResponseObject, error) {
	body, size := yamlOf(apispec.OpenAPI())
	return gen.OpenapiYaml200ApplicationYamlResponse{Body: body, ContentLength: size}, nil
}

// APIOpenapiYaml sends the REST spec under its path in the tree.
func (h *handlers) APIOpenapiYaml(context.Context, gen.APIOpenapiYamlRequestObject) (gen.APIOpenapiYamlResponseObject, error) {
	body, size := yamlOf(apispec.OpenAPI())
	return gen.APIOpenapiYaml200ApplicationYamlResponse{Body: body, ContentLength: size}, nil
}

// APIFramesYaml sends the schemas of the frames.
func (h *handlers) APIFramesYaml(context.Context, gen.APIFramesYamlRequestObject) (gen.APIFramesYamlResponseObject, error) {
	body, size := yamlOf(apispec.Frames())
	return gen.APIFramesYaml200ApplicationYamlResponse{Body: body, ContentLength: size}, nil
}

// AsyncapiYaml sends the spec of the sockets.
func (h *handlers) AsyncapiYaml(context.Context, gen.AsyncapiYamlRequestObject) (gen.AsyncapiYamlResponseObject, error) {
	body, size := yamlOf(specs.AsyncAPI())
	return gen.AsyncapiYaml200ApplicationYamlResponse{Body: body, ContentLength: size}, nil
}

// jsonDocument is JSON that is encoded once, at the start.
type jsonDocument []byte

// VisitOpenapiJSONResponse sends it.
func (d jsonDocument) VisitOpenapiJSONResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(d)
	return err
}

// OpenapiJSON sends the REST spec as JSON.
func (h *handlers) OpenapiJSON(context.Context, gen.OpenapiJSONRequestObject) (gen.OpenapiJSONResponseObject, error) {
	return h.openapiJSON, nil
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
