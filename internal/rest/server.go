// Package rest serves the REST contract. Routes, binding and answers are generated from api/openapi.yaml. This package has the
// handlers, which call the use cases, and the middleware: log, CORS, authentication, validation.
//
//	server.go   construction; the log of requests, panics, CORS
//	gate.go     what a request must pass: token, rate, parameters, body
//	compress.go answers in gzip and zstd
//	media.go    which bodies are understood, by their headers
//	lenient.go  what front ends of the original send, converted
//	traits.go   what an operation of the spec says by x-tim-…
//	request.go  what the middleware knows of a request
//	leftovers.go  what becomes of a body that nobody read
//	transfer.go   the lowest rate of uploads and downloads
//	errors.go   an error as an answer
//	text.go     a success as an answer
//	lists.go    headers that are lists
//	refusals.go the log of refused origins
//	origins.go  which pages may call; proxies.go which proxies are believed; address.go where the server is
//	accounts.go, sessions.go, friends.go, groups.go, messages.go, files.go, system.go   the handlers
//	avatarpath.go  an account in the link to its avatar
//	spec.go     the spec as JSON
package rest

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"tim/gen/api"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/doors"
	"tim/internal/fault"
	"tim/internal/files"
	"tim/internal/pace"
)

// Options of New. Every field is needed. In a limit, 0 means none.
type Options struct {
	Chat  *chat.Service
	Auth  *auth.Auth
	Files *files.Files
	Docs  http.Handler // Swagger UI
	// Ready checks every dependency. It returns the state of each and whether all are fine.
	Ready func(ctx context.Context) (states map[string]string, ready bool)
	// IsFull reports whether an error says that the database's disk is full.
	IsFull func(error) bool
	// IsUnavailable reports whether an error says that the database can't be asked now.
	IsUnavailable func(error) bool
	Origins       Origins
	Proxies       Proxies
	Language      fault.Language // of texts, unless a request asks for another one
	Always200     bool           // answer HTTP 200 whatever happens, as the original server did
	BodyLimit     int64          // of JSON bodies, in bytes
	Doors         *doors.Doors   // the listener's; nil for none
	Pace          *pace.Pace     // how fast an account may send; nil for no limit
	TransferRate  float64        // the lowest rate of uploads and downloads, in bytes a second
	// Draining ends when the server begins to stop. From then on a request that hasn't come is not waited for.
	Draining context.Context //nolint:containedctx // its end is the news
	Log      *slog.Logger
	Metrics  prometheus.Registerer

	stall time.Duration // how long a transfer may make no progress, 0 for the default; tests set less
}

type server struct {
	log           *slog.Logger
	isFull        func(error) bool
	isUnavailable func(error) bool
	always200     bool
	isContract    func(path string) bool
	language      fault.Language
	transfers     transfers
	leftovers     leftovers
	doors         *doors.Doors
	proxies       Proxies
	took          *prometheus.HistogramVec
}

// handlers implements the generated interface, in one file for each tag of the spec.
type handlers struct {
	chat    *chat.Service
	auth    *auth.Auth
	files   *files.Files
	docs    http.Handler
	ready   func(ctx context.Context) (map[string]string, bool)
	proxies Proxies
	specs   documents
}

// New returns the server's routes. internal/realtime adds those of the sockets. It returns an error if the spec has a trait
// that it doesn't know.
func New(o Options) (*echo.Echo, error) {
	spec, err := loadSpec()
	if err != nil {
		return nil, fmt.Errorf("load the spec: %w", err)
	}
	if err := checkTraits(spec); err != nil {
		return nil, err
	}
	served, err := newDocuments(o.Proxies.public)
	if err != nil {
		return nil, fmt.Errorf("make the specs that are served: %w", err)
	}
	s := &server{log: o.Log, isFull: o.IsFull, isUnavailable: o.IsUnavailable, always200: o.Always200, language: o.Language, leftovers: defaultLeftovers(), doors: o.Doors, proxies: o.Proxies}
	s.transfers = transfers{rate: o.TransferRate, stall: cmp.Or(o.stall, stall)}
	s.took = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tim_request_seconds", Help: "Time of REST requests and socket handshakes.",
		Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10},
	}, []string{"route", "status"})
	if err := o.Metrics.Register(s.took); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	e := echo.New()
	e.Pre(joinLists)
	e.HTTPErrorHandler = s.handleError
	e.IPExtractor = o.Proxies.extractor()
	gate := newGate(spec, o.Auth.Authenticate, o.BodyLimit, o.Pace)
	gate.verify = o.Auth.AuthenticateToRenew
	gate.draining = o.Draining
	e.Pre(o.Proxies.route, gate.asTheOriginal)
	s.isContract = gate.isContract
	compress, err := gate.compress()
	if err != nil {
		return nil, fmt.Errorf("compression: %w", err)
	}
	e.Use(compress, s.observe, s.recoverPanics, cors(o.Origins), s.enter, gate.middleware)
	api.RegisterHandlers(router{e}, api.NewStrictHandler(&handlers{
		chat: o.Chat, auth: o.Auth, files: o.Files, docs: o.Docs, ready: o.Ready, proxies: o.Proxies, specs: served,
	}, nil))
	return e, nil
}

// router answers HEAD wherever it answers GET, as RFC 9110 section 9.1 demands. net/http leaves out the body.
type router struct{ *echo.Echo }

// GET adds a route for both methods.
func (r router) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	r.HEAD(path, h, m...)
	return r.Echo.GET(path, h, m...)
}

// The headers that every answer has, unless its handler sets others.
//
//nolint:gochecknoglobals // constants in all but name: net/http takes a header's values as a slice, which is never changed
var (
	// noSniff: a file is what its Content-Type says.
	noSniff = []string{"nosniff"}
	// noReferrer: an address may have a token in its query, or be a signed link.
	noReferrer = []string{"no-referrer"}
	// noStore: answers are their reader's alone, or change.
	noStore = []string{"no-store"}
	// inert keeps what a browser shows of an answer from running, loading and being framed.
	inert = []string{"default-src 'none'; sandbox; frame-ancestors 'none'"}
)

// observe gives every request an id, a line in the log and a place in the metrics. It never logs the query, which may contain a
// token.
func (s *server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		r := &request{id: rand.Text()[:16], language: s.language, address: c.RealIP(), transfers: s.transfers}
		if asked := fault.Language(c.Request().Header.Get("Tim-Language")); asked == fault.English || asked == fault.Chinese {
			r.language = asked
		}
		attach(c, r)
		s.leftovers.watch(c)
		header := c.Response().Header()
		header.Set("Tim-Request-Id", r.id)
		header["X-Content-Type-Options"], header["Referrer-Policy"] = noSniff, noReferrer
		header["Cache-Control"], header["Content-Security-Policy"] = noStore, inert
		if err := next(c); err != nil {
			c.Error(err)
		}
		took, status := time.Since(start), c.Response().Status
		route := c.Path()
		if route == "" {
			route = "none"
		}
		s.took.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
		attributes := []slog.Attr{
			slog.String("request", r.id), slog.String("method", c.Request().Method), slog.String("path", clip(c.Request().URL.Path)),
			slog.Int("status", status), slog.Duration("took", took), slog.Int64("bytes", c.Response().Size), slog.String("from", r.address),
		}
		account := r.session.Account
		if account == "" {
			if account, _ = c.Get(auth.AccountKey).(string); account != "" {
				doors.Authenticated(r.http.Context()) // a socket
			}
		}
		if account != "" {
			attributes = append(attributes, slog.String("account", account))
		}
		if reason, ok := c.Get(reasonKey).(string); ok {
			attributes = append(attributes, slog.String("reason", reason))
		}
		s.log.LogAttrs(context.WithoutCancel(c.Request().Context()), levelOf(route, status), "request", attributes...)
		return nil
	}
}

// levelOf is the level of a request's line in the log. Load balancers ask for the health every second or so: what they are told
// matters when it isn't good.
func levelOf(route string, status int) slog.Level {
	switch {
	case route != "/healthz" && route != "/readyz":
		return slog.LevelInfo
	case status < http.StatusBadRequest:
		return slog.LevelDebug
	default:
		return slog.LevelWarn
	}
}

// maxLoggedPath is the number of bytes of a path that the log shows.
const maxLoggedPath = 256

func clip(path string) string {
	if len(path) > maxLoggedPath {
		return path[:maxLoggedPath] + "…"
	}
	return path
}

// retryConnection is when a client is told to try again that has too many requests under way.
const retryConnection = 5 * time.Second

// enter bounds the requests of an address that have shown no good token, where connections don't tell: one of a proxy carries
// those of many clients, and one of HTTP/2 many at once.
func (s *server) enter(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.doors == nil || c.Request().ProtoMajor < 2 && !s.proxies.trusts(c.Request().RemoteAddr) {
			return next(c)
		}
		r := requestOf(c.Request().Context())
		leave, ok := s.doors.Enter(r.address)
		if !ok {
			return fault.Retry(fault.TooManyConnections, retryConnection)
		}
		defer leave()
		r.leave = leave
		return next(c)
	}
}

// recoverPanics converts a panic into an answer and a line in the log. The server goes on.
func (s *server) recoverPanics(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fault.Wrap(fault.Internal, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			}
		}()
		return next(c)
	}
}

// cors lets pages of allowed origins read the answers. It comes before authentication, since a preflight has no token. Pages that
// ask with credentials are answered, too: no cookie means anything here, so that gives them nothing but the answer. Each answer
// varies by Origin, also where none came: a cache must not show a page what it kept for somebody who isn't one.
func cors(origins Origins) echo.MiddlewareFunc {
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete}
	shared := middleware.CORSConfig{
		AllowMethods:     methods,
		AllowCredentials: true, // the origin is echoed, as it must be then
		ExposeHeaders:    []string{"Tim-Reason", "Tim-Request-Id", "Content-Disposition", "Content-Range", "Retry-After"},
		MaxAge:           int(time.Hour / time.Second),
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			if r.Header.Get("Origin") == "" || r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") == "" {
				c.Response().Header().Add(echo.HeaderVary, echo.HeaderOrigin) // as the library does below
				return next(c)
			}
			config := shared
			config.AllowOriginFunc = func(string) (bool, error) { return origins.Allow(r), nil }
			return middleware.CORSWithConfig(config)(next)(c)
		}
	}
}
