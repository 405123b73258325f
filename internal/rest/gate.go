package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/labstack/echo/v4"

	"tim/gen/bodies"
	"tim/internal/auth"
	"tim/internal/fault"
	"tim/internal/files"
	"tim/internal/pace"
	"tim/internal/schema"
)

// gate admits the requests that the spec allows. It finds the operation by the route, authenticates, and checks parameters and
// JSON bodies. The bodies of uploads pass unread.
type gate struct {
	operations   map[route]operation
	authenticate func(ctx context.Context, token string) (auth.Session, error)
	verify       func(token string) (auth.Session, error) // of operations that take an expired token
	bodyLimit    int64
	sending      *pace.Pace      // nil for no limit
	draining     context.Context //nolint:containedctx // see Options.Draining
}

// route is a method and a path as echo has it.
type route struct{ method, path string }

type operation struct {
	id         string
	open       bool // needs no token
	streams    bool // the transfer of a file, which may take long
	parameters openapi3.Parameters
	body       bodies.Check // of a JSON body, nil for none
	upload     bool         // the body is a multipart form with a file
	traits     traits
}

// answerWithin is how long a request without a file may take.
const answerWithin = 15 * time.Second

// lastChance is how long the rest of a JSON body may take to arrive once the server stops.
const lastChance = time.Second

func newGate(spec *openapi3.T, authenticate func(context.Context, string) (auth.Session, error), bodyLimit int64, sending *pace.Pace) *gate {
	checks := bodies.Checks()
	g := &gate{operations: make(map[route]operation), authenticate: authenticate, bodyLimit: bodyLimit, sending: sending, draining: context.Background()}
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			_, partial := o.Responses.Map()["206"]
			op := operation{id: o.OperationID, streams: partial, open: o.Security != nil && len(*o.Security) == 0, parameters: o.Parameters}
			op.traits = traitsOf(o, method)
			if o.RequestBody != nil {
				op.streams = op.streams || o.RequestBody.Value.Content.Get("multipart/form-data") != nil
				op.body = checks[op.id]
				op.upload = o.RequestBody.Value.Content.Get("multipart/form-data") != nil
			}
			g.operations[route{method, echoRoute(path)}] = op
		}
	}
	return g
}

// operationOf returns the operation that a request is for. That of HEAD is GET's.
func (g *gate) operationOf(c echo.Context) (operation, bool) {
	method := c.Request().Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	op, ok := g.operations[route{method, c.Path()}]
	return op, ok
}

// echoRoute converts the spec's /avatar/{account} to echo's /avatar/:account.
func echoRoute(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

func (g *gate) middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		for _, value := range c.ParamValues() {
			if strings.Contains(value, "/") { // echo's last parameter takes the whole rest of a path
				return fault.New(fault.UnknownRoute)
			}
		}
		op, ok := g.operationOf(c)
		if !ok {
			return next(c) // a socket's handshake, which checks for itself, or an unknown route
		}
		r := requestOf(c.Request().Context())
		r.operation, r.textFailures = op.id, op.traits.textFailures
		if !op.open {
			session, err := g.sessionOf(c.Request(), op)
			if err != nil {
				return err
			}
			r.session = session
			r.authenticated()
		}
		if op.traits.rateLimited { // before the body is read
			if wait := g.sending.Try(r.session.Account, time.Now()); wait > 0 {
				return fault.Retry(fault.RateLimited, wait)
			}
		}
		if err := op.traits.lenient.query(c, g.hurry); err != nil {
			return err
		}
		if err := checkParameters(c, op.parameters); err != nil {
			return err
		}
		if op.upload || op.body != nil {
			if err := g.admitBody(c, op); err != nil {
				return err
			}
		}
		if op.streams {
			return next(c)
		}
		ctx, cancel := context.WithTimeout(c.Request().Context(), answerWithin)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}

// admitBody checks a JSON body, and prepares that of an upload, which passes unread.
func (g *gate) admitBody(c echo.Context, op operation) error {
	r := c.Request()
	if err := checkCoding(r.Header, c.Response().Header()); err != nil {
		return err
	}
	if !op.upload {
		return g.checkBody(c, op)
	}
	request := requestOf(r.Context())
	credit := request.transfers.credit()
	request.form = files.Whole(&slowBody{ReadCloser: r.Body, connection: http.NewResponseController(c.Response()), credit: credit})
	r.Body = request.form
	return nil
}

// sessionOf returns the session of a request's token.
func (g *gate) sessionOf(r *http.Request, op operation) (auth.Session, error) {
	token := r.Header.Get("token")
	if op.traits.expiredToken {
		return g.verify(token)
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	return g.authenticate(ctx, token)
}

// checkParameters checks a copy of the request without its body, so that the body stays unread.
func checkParameters(c echo.Context, parameters openapi3.Parameters) error {
	r := c.Request()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.Invalid(fault.InvalidParameter, "query", "must be percent-encoded, with & between parameters")
	}
	for name, values := range query {
		for _, value := range values {
			if !utf8.ValidString(name) || !utf8.ValidString(value) {
				return fault.Invalid(fault.InvalidParameter, strings.ToValidUTF8(name, "\uFFFD"), "must be UTF-8")
			}
		}
	}
	path := make(map[string]string, len(c.ParamNames()))
	for _, name := range c.ParamNames() {
		value, err := url.PathUnescape(c.Param(name))
		if err != nil || !utf8.ValidString(value) {
			return fault.Invalid(fault.InvalidParameter, name, "must be percent-encoded UTF-8")
		}
		path[name] = value
	}
	bare := r.Clone(r.Context())
	bare.Body, bare.ContentLength = http.NoBody, 0
	input := &openapi3filter.RequestValidationInput{
		Request: bare, PathParams: path, QueryParams: query, Options: &openapi3filter.Options{SkipSettingDefaults: true},
	}
	for _, p := range parameters {
		if p.Value.In == openapi3.ParameterInQuery && len(query[p.Value.Name]) > 1 {
			return fault.Invalid(fault.InvalidParameter, p.Value.Name, "must be given once")
		}
		if err := openapi3filter.ValidateParameter(r.Context(), input, p.Value); err != nil {
			return fault.Invalid(fault.InvalidParameter, p.Value.Name, parameterProblem(p.Value, err))
		}
	}
	return nil
}

// parameterProblem says what would be right. The library's own texts hold the whole schema, and its parse errors say
// little.
func parameterProblem(p *openapi3.Parameter, err error) string {
	var refused *openapi3.SchemaError
	switch {
	case errors.Is(err, openapi3filter.ErrInvalidRequired):
		return schema.Missing
	case errors.Is(err, openapi3filter.ErrInvalidEmptyValue):
		return schema.NotEmpty
	case errors.As(err, &refused):
		return schemaProblem(refused)
	default:
		return mustBe(p.Schema.Value)
	}
}

// schemaProblem says what the refused part of a parameter's schema asks for, in the words of bodies.
func schemaProblem(err *openapi3.SchemaError) string {
	s := err.Schema
	switch err.SchemaField {
	case "nullable":
		return schema.NotNull
	case "minLength":
		return schema.TooShort(s.MinLength)
	case "maxLength":
		return schema.TooLong(*s.MaxLength)
	case "enum":
		return schema.OneOf(alternatives(s.Enum)...)
	case "pattern", "not":
		if strings.HasPrefix(s.Pattern, `^[^\x00-\x1F\x7F`) {
			return schema.Control
		}
		return schema.Described(s.Description)
	default:
		return mustBe(s)
	}
}

// mustBe says what a parameter's schema takes, by its type and bounds.
func mustBe(s *openapi3.Schema) string {
	switch {
	case s.Type.Is("integer") && (s.Min != nil || s.Max != nil):
		return schema.Integer(bounds(s))
	case s.Type.Is("integer"):
		return schema.AnyInteger()
	case s.Type.Is("number"):
		return schema.AnyReal()
	case s.Type.Is("boolean"):
		return schema.Must("a boolean")
	default:
		return schema.Must("a string")
	}
}

// bounds of an integer, by its schema and its format.
func bounds(s *openapi3.Schema) (low, high int64) {
	low, high = math.MinInt64, math.MaxInt64
	if s.Format == "int32" {
		low, high = math.MinInt32, math.MaxInt32
	}
	if s.Min != nil && *s.Min > float64(low) {
		low = int64(*s.Min)
	}
	if s.Max != nil && *s.Max < float64(high) {
		high = int64(*s.Max)
	}
	return low, high
}

// alternatives are values as they stand in JSON.
func alternatives(values []any) []string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = fmt.Sprint(value)
	}
	return texts
}

// escapes is how many times longer a text may be when all of its characters are escaped. The limit is of the text.
const escapes = 6

// openBody is how many bytes a JSON body may have that comes without a token, as they are sent. Nobody who only connects may make
// the server hold more than that.
const openBody = 16 << 10

// checkBody reads a JSON body within its limit, checks it, and puts it back for the handler in the spelling of the check: so
// what is stored is what was checked, whatever the handler's decoder makes of fields that are there twice, or in other
// letters.
func (g *gate) checkBody(c echo.Context, op operation) error {
	r := c.Request()
	if err := checkJSONType(r.Header); err != nil {
		return err
	}
	body, limit, most := r.Body, g.bodyLimit, escapes*g.bodyLimit
	if op.open && most > openBody {
		limit, most = min(limit, openBody), openBody
	}
	if limit > 0 {
		if r.ContentLength > most { // no need to wait for it
			return tooLarge(limit)
		}
		body = http.MaxBytesReader(c.Response(), body, most)
	}
	done := g.hurry(c)
	text, err := io.ReadAll(body) // until the connection's deadline
	done()
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return tooLarge(limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return tooSlow(err)
	}
	if err != nil {
		return fault.Wrap(fault.MalformedJSON, err)
	}
	if !utf8.Valid(text) {
		return fault.Invalid(fault.MalformedJSON, "body", schema.NotUTF8)
	}
	reader := schema.NewReader(string(op.traits.lenient.body.Convert(text)))
	checked := op.body(&reader)
	err = reader.End("body")
	if limit > 0 && int64(reader.Size()) > limit {
		return tooLarge(limit)
	}
	if err != nil {
		return err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(checked)), int64(len(checked))
	r.Header.Set("Content-Type", "application/json") // echo compares it letter by letter
	return nil
}

// hurry gives a body that is being read lastChance when the server begins to stop. The caller calls done after it has read.
func (g *gate) hurry(c echo.Context) (done func() bool) {
	return context.AfterFunc(g.draining, func() {
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(lastChance)) // fails on a test's recorder
	})
}

func tooLarge(limit int64) error {
	return fault.Invalid(fault.BodyTooLarge, "body", fmt.Sprintf("must have at most %d bytes", limit))
}
