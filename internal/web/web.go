// Package web serves the pages beside the API: Swagger UI, which is embedded in the binary.
package web

import (
	"net/http"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// Docs returns the handler of Swagger UI: its page at /docs and its files below. The page shows this server's /openapi.json.
func Docs() http.Handler {
	ui := v5emb.NewHandlerWithConfig(swgui.Config{
		Title:       "Tim",
		SwaggerJSON: "/openapi.json",
		BasePath:    "/docs",
		SettingsUI: map[string]string{
			"persistAuthorization": "true", // a token that was entered survives a reload
			"tryItOutEnabled":      "true",
		},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The page has a script of its own inline. Everything else must come from this server.
		w.Header().Set("Content-Security-Policy",
			"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'")
		ui.ServeHTTP(w, r)
	})
}
