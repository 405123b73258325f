package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/labstack/echo/v4"

	"tim/internal/auth"
	"tim/internal/fault"
	"tim/internal/files"
)

// gate admits the requests that the spec allows. It finds the operation by the route, authenticates, and checks parameters and
// JSON bodies. The bodies of uploads pass unread.
type gate struct {
	operations   map[route]operation
	authenticate func(ctx context.Context, token string) (auth.Session, error)
	bodyLimit    int64
	sending      *pace // nil for no limit
}

// route is a method and a path as echo has it.
type route struct{ method, path string }

type operation struct {
	id         string
	open       bool // needs no token
	streams    bool // the transfer of a file, which may take long
	parameters openapi3.Parameters
	body       *openapi3.Schema // of a JSON body, nil for none
	upload     bool             // the body is a multipart form with a file
	traits     traits
}

// answerWithin is how long a request without a file may take.
const answerWithin = 15 * time.Second

// bodyDeadline is how long a JSON body may take to arrive.
const bodyDeadline = 30 * time.Second

func newGate(spec *openapi3.T, authenticate func(context.Context, string) (auth.Session, error), bodyLimit int64, sending *pace) *gate {
	g := &gate{operations: make(map[route]operation), authenticate: authenticate, bodyLimit: bodyLimit, sending: sending}
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			_, partial := o.Responses.Map()["206"]
			op := operation{id: o.OperationID, streams: partial, open: o.Security != nil && len(*o.Security) == 0, parameters: o.Parameters}
			op.traits = traitsOf(o)
			if o.RequestBody != nil {
				op.streams = op.streams || o.RequestBody.Value.Content.Get("multipart/form-data") != nil
				if media := o.RequestBody.Value.Content.Get("application/json"); media != nil {
					op.body = media.Schema.Value
				}
				op.upload = o.RequestBody.Value.Content.Get("multipart/form-data") != nil
			}
			g.operations[route{method, echoRoute(path)}] = op
		}
	}
	return g
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
		op, ok := g.operations[route{c.Request().Method, c.Path()}]
		if !ok {
			return next(c) // a socket's handshake, which checks for itself, or an unknown route
		}
		r := requestOf(c.Request().Context())
		r.operation, r.textFailures = op.id, op.traits.textFailures
		if !op.open {
			ctx, cancel := context.WithTimeout(c.Request().Context(), answerWithin)
			session, err := g.authenticate(ctx, c.Request().Header.Get("token"))
			cancel()
			if err != nil {
				return err
			}
			r.session = session
		}
		if op.traits.rateLimited { // before the body is read
			if err := g.sending.take(r.session.ID, time.Now()); err != nil {
				return err
			}
		}
		if err := checkParameters(c, op.parameters); err != nil {
			return err
		}
		if op.upload {
			c.Request().Body = files.Whole(c.Request().Body)
		}
		if op.body != nil {
			if err := g.checkBody(c, op.body); err != nil {
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
	var schema *openapi3.SchemaError
	switch {
	case errors.Is(err, openapi3filter.ErrInvalidRequired):
		return "is missing"
	case errors.Is(err, openapi3filter.ErrInvalidEmptyValue):
		return "must not be empty"
	case errors.As(err, &schema):
		return schemaProblem(schema)
	default:
		return "must be " + kindOf(p.Schema.Value)
	}
}

// schemaProblem says what the refused part of a schema asks for. Patterns nobody can read: control characters are what
// ours refuse, or the description says it.
func schemaProblem(err *openapi3.SchemaError) string {
	schema := err.Schema
	switch err.SchemaField {
	case "required":
		return "is missing"
	case "nullable":
		return "must not be null"
	case "minLength":
		if schema.MinLength == 1 {
			return "must not be empty"
		}
		return fmt.Sprintf("must have at least %d characters", schema.MinLength)
	case "maxLength":
		return fmt.Sprintf("must have at most %d characters", *schema.MaxLength)
	case "enum":
		return "must be one of " + alternatives(schema.Enum)
	case "minProperties", "maxProperties":
		return "must have exactly one of the fields " + strings.Join(slices.Sorted(maps.Keys(schema.Properties)), ", ")
	case "pattern", "not":
		if strings.HasPrefix(schema.Pattern, `^[^\x00-\x1F\x7F`) {
			return "must not be empty or hold control characters"
		}
		return "must be " + strings.TrimSuffix(schema.Description, ".")
	default:
		return "must be " + kindOf(schema)
	}
}

// kindOf describes what a schema takes, by its type and bounds.
func kindOf(schema *openapi3.Schema) string {
	kinds := schema.Type.Slice()
	if len(kinds) == 0 {
		return "as the schema has it"
	}
	article := "a "
	if strings.HasPrefix(kinds[0], "i") || strings.HasPrefix(kinds[0], "o") || strings.HasPrefix(kinds[0], "a") {
		article = "an "
	}
	if schema.Min != nil && schema.Max != nil {
		return fmt.Sprintf("%s%s from %.0f to %.0f", article, kinds[0], *schema.Min, *schema.Max)
	}
	return article + kinds[0]
}

// alternatives lists values as they stand in JSON, separated by commas.
func alternatives(values []any) string {
	texts := make([]string, len(values))
	for i, value := range values {
		if value == nil {
			value = "null"
		}
		texts[i] = fmt.Sprint(value)
	}
	return strings.Join(texts, ", ")
}

// checkBody reads a JSON body within its limit, validates it, and puts it back for the handler.
func (g *gate) checkBody(c echo.Context, schema *openapi3.Schema) error {
	r := c.Request()
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return fault.Invalid(fault.UnsupportedMediaType, "Content-Type", "must be application/json")
	}
	// Where the connection knows no deadline (a test's recorder) there is nobody to wait for.
	_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(bodyDeadline))
	body := r.Body
	if g.bodyLimit > 0 {
		body = http.MaxBytesReader(c.Response(), body, g.bodyLimit)
	}
	text, err := io.ReadAll(body)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault.Invalid(fault.BodyTooLarge, "body", fmt.Sprintf("must have at most %d bytes", tooLarge.Limit))
	}
	if err != nil {
		return fault.Wrap(fault.MalformedJSON, err)
	}
	value, err := decode(text)
	if err != nil {
		return err
	}
	if err := schema.VisitJSON(value, openapi3.VisitAsRequest()); err != nil {
		return bodyFault(err)
	}
	if text, err = json.Marshal(tidy(value, schema)); err != nil {
		return fmt.Errorf("put the body back: %w", err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	r.Header.Set("Content-Type", "application/json") // echo compares it letter by letter
	return nil
}

// decode parses one JSON value and nothing after it.
func decode(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, fault.Invalid(fault.MalformedJSON, "body", "must be UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, fault.Invalid(fault.MalformedJSON, "body", fmt.Sprintf("is no JSON at byte %d", syntax.Offset))
	case err != nil:
		return nil, fault.Invalid(fault.MalformedJSON, "body", "is no JSON, or ends too early")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fault.Invalid(fault.MalformedJSON, "body", "must end after one JSON value")
	}
	return value, nil
}

func bodyFault(err error) error {
	var schema *openapi3.SchemaError
	if !errors.As(err, &schema) {
		return fault.Invalid(fault.InvalidBody, "body", "is not as the schema has it")
	}
	field := strings.Join(schema.JSONPointer(), ".")
	if field == "" {
		field = "body"
	}
	return fault.Invalid(fault.InvalidBody, field, schemaProblem(schema))
}

// tidy makes of an object that the schema accepts one that Go's decoder takes for the same. It drops the fields that
// the schema doesn't know: the decoder overlooks case (and takes "ſ" for "s"), so they could slip by unseen into one that
// it does know. And it rewrites integers that are not written as such: the schema takes 20.0 and 2e1 for 20.
func tidy(value any, schema *openapi3.Schema) any {
	object, ok := value.(map[string]any)
	if !ok {
		return value
	}
	for name, field := range object {
		if _, known := schema.Properties[name]; !known {
			delete(object, name)
			continue
		}
		number, ok := field.(json.Number)
		if !ok || !strings.ContainsAny(number.String(), ".eE") {
			continue
		}
		if f, err := number.Float64(); err == nil && f == float64(int64(f)) {
			object[name] = int64(f)
		}
	}
	return object
}
