package rest

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// lists are the headers of requests whose value is a list, in the canonical spelling of net/http. RFC 9110 section 5.3: a list may
// be given in several lines, and proxies may join them or not.
//
//nolint:gochecknoglobals // a constant in all but name
var lists = []string{
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Access-Control-Request-Headers", "Cache-Control", "Connection",
	"Content-Encoding", "Content-Language", "Forwarded", "If-Match", "If-None-Match", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol",
	"Te", "Upgrade", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto",
}

// joinLists makes each list of a request one line: net/http, echo and the handlers mostly look at the first line alone.
func joinLists(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		joinLines(c.Request().Header)
		return next(c)
	}
}

func joinLines(header http.Header) {
	for _, name := range lists {
		if lines := header[name]; len(lines) > 1 {
			header[name] = []string{strings.Join(lines, ", ")}
		}
	}
}
