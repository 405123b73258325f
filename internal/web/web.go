// Package web serves the pages beside the API: Swagger UI, from the binary itself.
package web

import (
	"net/http"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// Docs returns the handler of Swagger UI: the page at /docs, its files below. It shows /openapi.json of this server.
func Docs() http.Handler {
	ui := v5emb.NewHandlerWithConfig(swgui.Config{
		Title:       "Tim",
		SwaggerJSON: "/openapi.json",
		BasePath:    "/docs",
		SettingsUI: map[string]string{
			"persistAuthorization": "true", // a token entered once outlives a reload
			"tryItOutEnabled":      "true",
		},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The page's own script is inline; nothing may come from elsewhere.
		w.Header().Set("Content-Security-Policy",
			"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'")
		ui.ServeHTTP(w, r)
	})
}
