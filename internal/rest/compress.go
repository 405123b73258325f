package rest

import (
	"compress/gzip"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"
)

// compressFrom is the size, in bytes, from which an answer is compressed: a smaller one fits into one packet.
const compressFrom = 1024

// compress answers with zstd or gzip where the client takes it, by the weights in its Accept-Encoding. It is the outermost
// middleware, since an error becomes an answer below it. Files pass as they are: they are compressed already, and have ranges.
//
// Some answers have a secret beside text that others chose, a friend's message, and their compressed length tells something
// about it (breachattack.com). The attack needs the same answer many times, each time with another guess in it. Here a page
// of another site can't ask for one: the token is in a header, which no browser adds by itself. A friend can add a guess to a
// conversation, but only as a message that its reader sees, and would have to watch the network too. So lists are compressed.
// Answers with tokens aren't; x-tim-uncompressed marks them in the spec, and they are short.
func (g *gate) compress() (echo.MiddlewareFunc, error) {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.MinSize(compressFrom), gzhttp.CompressionLevel(gzip.BestSpeed), gzhttp.ZstdCompressionLevel(int(zstd.SpeedFastest)),
	)
	if err != nil {
		return nil, err
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			op, ok := g.operationOf(c)
			if !ok || op.streams || op.traits.uncompressed {
				return next(c)
			}
			r, response := c.Request(), c.Response()
			accepted := r.Header["Accept-Encoding"]
			if len(accepted) == 0 {
				response.Header().Add("Vary", "Accept-Encoding")
				return next(c)
			}
			if len(accepted) > 1 { // the library reads one line
				r.Header.Set("Accept-Encoding", strings.Join(accepted, ","))
			}
			plain := response.Writer
			defer func() { response.Writer = plain }()
			wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				response.Writer = w
				err = next(c)
			}))(plain, r)
			return err
		}
	}, nil
}
