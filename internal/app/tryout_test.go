package app_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

// tryout goes through the operations as somebody does in Swagger UI who changes nothing of what it has filled in. Where
// there are several examples, it tries each. An operation whose parameter is the target of a link in an earlier answer
// takes the value from there, as the page says.
type tryout struct {
	*site
	spec    *openapi3.T
	token   string
	linked  map[string]url.Values // by operation
	avatar  string                // the link that headPicUrl answered
	uploads map[string][]byte     // what a person would choose as file, by operation
}

// tried is an operation in the order of the page.
type tried struct{ path, method string }

// Every operation succeeds with the values that Swagger UI fills in, one after the other as they stand on the page.
func TestTryItOut(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		document := s.do(t, ask{path: "/openapi.json"}).body
		spec, err := openapi3.NewLoader().LoadFromData([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		page := &tryout{site: s, spec: spec, linked: map[string]url.Values{}, uploads: map[string][]byte{
			"uploadHeadPic": jpgBytes(t), "uploadChatPic": pngBytes(t), "uploadMp3": mpegFrames(20), "uploadMp4": mp4Bytes("isom", 100),
		}}
		operations := shown(t, spec, document)
		if len(operations) < 40 {
			t.Fatalf("the page shows %d operations", len(operations))
		}
		for _, o := range operations {
			page.try(t, o)
		}
	})
}

// shown lists the operations as Swagger UI shows them: by tag, and within a tag in the order of the document. It fails
// where that is another order than the document's, which is the order that it was written to be read in.
func shown(t testing.TB, spec *openapi3.T, document string) []tried {
	t.Helper()
	var order struct{ Paths yaml.Node }
	if err := yaml.Unmarshal([]byte(document), &order); err != nil { // JSON is YAML, too
		t.Fatal(err)
	}
	var operations, byTag []tried
	for i := 0; i < len(order.Paths.Content); i += 2 {
		methods := order.Paths.Content[i+1].Content
		for j := 0; j < len(methods); j += 2 {
			operations = append(operations, tried{order.Paths.Content[i].Value, methods[j].Value})
		}
	}
	for _, tag := range spec.Tags {
		for _, o := range operations {
			if slices.Contains(o.of(spec).Tags, tag.Name) {
				byTag = append(byTag, o)
			}
		}
	}
	diff(t, "operations as Swagger UI shows them and as the document has them", fmt.Sprint(byTag), fmt.Sprint(operations))
	return byTag
}

func (o tried) of(spec *openapi3.T) *openapi3.Operation {
	return spec.Paths.Value(o.path).GetOperation(strings.ToUpper(o.method))
}

// try sends an operation with each of its examples.
func (p *tryout) try(t *testing.T, o tried) {
	t.Helper()
	operation := o.of(p.spec)
	for _, body := range p.bodies(t, operation) {
		for _, parameters := range p.parameters(operation) {
			a := ask{method: strings.ToUpper(o.method), json: body, plain: strings.HasPrefix(o.path, "/docs")}
			a.path = p.address(o.path, operation, parameters)
			if operation.Security == nil || len(*operation.Security) > 0 {
				a.token = p.token
			}
			if file, ok := p.uploads[operation.OperationID]; ok {
				a.form = fileForm(file)
			}
			got := p.do(t, a)
			if got.status >= http.StatusBadRequest {
				t.Errorf("%s with %s%s: %d %s", operation.OperationID, a.path, body, got.status, got.body)
			}
			p.remember(t, operation, got)
		}
	}
}

// remember keeps what later operations need: the token, once, and what links lead to.
func (p *tryout) remember(t *testing.T, operation *openapi3.Operation, got answer) {
	t.Helper()
	switch operation.OperationID {
	case "userLogin":
		if p.token == "" { // the page's first user
			p.token = tokenOf(t, got)
		}
	case "headPicUrl":
		p.avatar = got.body
	}
	response := operation.Responses.Value("200")
	if response == nil {
		return
	}
	for _, link := range response.Value.Links {
		for parameter, expression := range link.Value.Parameters {
			if expression != "$response.body" {
				t.Fatalf("%s: a link by %v, which isn't understood here", operation.OperationID, expression)
			}
			p.linked[link.Value.OperationID] = url.Values{parameter: {got.body}}
		}
	}
}

// bodies are the JSON bodies that are filled in, "" for none.
func (p *tryout) bodies(t *testing.T, operation *openapi3.Operation) []string {
	t.Helper()
	if operation.RequestBody == nil {
		return []string{""}
	}
	media := operation.RequestBody.Value.Content["application/json"]
	if media == nil {
		return []string{""}
	}
	var bodies []string
	for _, value := range values(media.Examples, media.Example) {
		bodies = append(bodies, encodeJSON(t, value))
	}
	if len(bodies) == 0 {
		t.Errorf("%s: nothing is filled in", operation.OperationID)
	}
	return bodies
}

// parameters are the parameters that are filled in, one set for each example of the one that has several.
func (p *tryout) parameters(operation *openapi3.Operation) []url.Values {
	sets := []url.Values{{}}
	for _, parameter := range operation.Parameters {
		filled := values(parameter.Value.Examples, parameter.Value.Example)
		if schema := parameter.Value.Schema.Value; filled == nil && schema.Example != nil {
			filled = []any{schema.Example}
		} else if filled == nil && schema.Default != nil {
			filled = []any{schema.Default}
		}
		if linked := p.linked[operation.OperationID][parameter.Value.Name]; linked != nil {
			filled = []any{linked[0]}
		}
		var next []url.Values
		for _, value := range filled {
			for _, set := range sets {
				one := maps.Clone(set)
				one.Set(parameter.Value.Name, fmt.Sprint(value))
				next = append(next, one)
			}
		}
		if next != nil {
			sets = next
		}
	}
	return sets
}

// values are the examples, or the one.
func values(examples openapi3.Examples, one any) (all []any) {
	for _, name := range slices.Sorted(maps.Keys(examples)) {
		all = append(all, examples[name].Value.Value)
	}
	if all == nil && one != nil {
		all = []any{one}
	}
	return all
}

// address is a path with its parameters. An avatar's signed link can't be filled in: it is followed.
func (p *tryout) address(path string, operation *openapi3.Operation, parameters url.Values) string {
	if operation.OperationID == "avatar" {
		return strings.TrimPrefix(p.avatar, p.URL)
	}
	query := url.Values{}
	for _, parameter := range operation.Parameters {
		name := parameter.Value.Name
		value, ok := parameters[name]
		switch {
		case !ok:
		case parameter.Value.In == openapi3.ParameterInPath:
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value[0]))
		default:
			query[name] = value
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}
