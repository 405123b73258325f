package schema_test

import (
	"testing"

	"tim/internal/schema"
)

// What Jackson makes of scalars, as Spring Boot sets it up. What it refuses stays as it is.
func TestLenient(t *testing.T) {
	t.Parallel()
	lenient := schema.Lenient{
		Fields: map[string]schema.Lenience{
			"age": {Integer: true, Nullable: true}, "n": {Integer: true}, "sex": {Nullable: true}, "account": {}, "username": {}, "any": {Any: true},
		},
		Defaults: map[string]string{"username": "account"},
	}
	for _, tt := range []struct{ in, want string }{
		{`{"age":"12"}`, `{"age":12}`},
		{`{"age":" 12\t"}`, `{"age":12}`},
		{`{"age":"+12"}`, `{"age":12}`},
		{`{"age":"-12"}`, `{"age":-12}`},
		{`{"age":"007"}`, `{"age":7}`},
		{`{"age":""}`, `{"age":null}`},
		{`{"age":"  "}`, `{"age":null}`},
		{`{"age":"null"}`, `{"age":null}`},
		{`{"n":""}`, `{"n":0}`},
		{`{"n":"null"}`, `{"n":"null"}`},
		{`{"age":1.9}`, `{"age":1}`},
		{`{"age":-0.5}`, `{"age":0}`},
		{`{"age":1e2}`, `{"age":100}`},
		{`{"age":12}`, `{"age":12}`},
		{`{"age":99999999999}`, `{"age":99999999999}`},
		{`{"age":1e300}`, `{"age":1e300}`},
		{`{"age":"1.9"}`, `{"age":"1.9"}`},
		{`{"age":"99999999999"}`, `{"age":"99999999999"}`},
		{`{"age":"twelve"}`, `{"age":"twelve"}`},
		{`{"age":"0x10"}`, `{"age":"0x10"}`},
		{`{"age":true}`, `{"age":true}`},
		{`{"age":[1]}`, `{"age":[1]}`},
		{`{"age":{}}`, `{"age":{}}`},
		{`{"age":null}`, `{"age":null}`},
		{`{"account":123456}`, `{"account":"123456","username":"123456"}`},
		{`{"account":1.0,"username":"x"}`, `{"account":"1.0","username":"x"}`},
		{`{"account":1e5,"username":"x"}`, `{"account":"1e5","username":"x"}`},
		{`{"account":-0,"username":"x"}`, `{"account":"-0","username":"x"}`},
		{`{"account":12345678901234567890123,"username":"x"}`, `{"account":"12345678901234567890123","username":"x"}`},
		{`{"account":true,"username":false}`, `{"account":"true","username":"false"}`},
		{`{"account":[1],"username":{}}`, `{"account":[1],"username":{}}`},
		{`{"account":"a","username":null}`, `{"account":"a","username":"a"}`},
		{`{"username":"","account":"a"}`, `{"account":"a","username":"a"}`},
		{`{"account":"a","username":"b","username":""}`, `{"account":"a","username":"a"}`},
		{`{"account":"","username":""}`, `{"account":"","username":""}`},
		{`{"username":""}`, `{"username":""}`},
		{`{"sex":""}`, `{"sex":null}`},
		{`{"sex":"男"}`, `{"sex":"男"}`},
		{`{"sex":1}`, `{"sex":"1"}`},
		{`{"any":12.50}`, `{"any":"12.50"}`},
		{`{"any":{"a":"b"}}`, `{"any":"{\"a\":\"b\"}"}`},
		{`{"any":[1, 2]}`, `{"any":"[1, 2]"}`},
		{`{"any":null}`, `{"any":null}`},
		{`{"any":"x"}`, `{"any":"x"}`},
		{`{"other":1,"more":{"age":"12"}}`, `{"other":1,"more":{"age":"12"}}`},
		{`{}`, `{}`},
		// What is no JSON object comes out as it went in.
		{``, ``},
		{`{`, `{`},
		{`{"age":"12"`, `{"age":"12"`},
		{`{"age":"12"}}`, `{"age":"12"}}`},
		{`{"age":"12"} x`, `{"age":"12"} x`},
		{`["12"]`, `["12"]`},
		{`12`, `12`},
		{`{"age":}`, `{"age":}`},
	} {
		if got := string(lenient.Convert([]byte(tt.in))); got != tt.want {
			t.Errorf("%s became %s, want %s", tt.in, got, tt.want)
		}
	}
	if got := string(schema.Lenient{}.Convert([]byte(`{"age": "12"}`))); got != `{"age": "12"}` {
		t.Errorf("the zero value made %s", got)
	}
}

// Whatever comes in, JSON stays JSON and anything else stays what it is; converting again changes nothing.
func FuzzLenient(f *testing.F) {
	for _, seed := range []string{`{"age":"12","account":1,"username":""}`, `{"any":[1,{"a":"\ud83d"}]}`, `{"a":1`, `[]`} {
		f.Add(seed)
	}
	lenient := schema.Lenient{
		Fields: map[string]schema.Lenience{
			"age": {Integer: true, Nullable: true}, "n": {Integer: true}, "account": {}, "username": {}, "any": {Any: true},
		},
		Defaults: map[string]string{"username": "account"},
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := lenient.Convert([]byte(text))
		if twice := lenient.Convert(once); string(twice) != string(once) {
			t.Errorf("%q became %q and then %q", text, once, twice)
		}
		reader := schema.NewReader(text)
		reader.Skip()
		if reader.End("") == nil && len(text) < 1000 {
			after := schema.NewReader(string(once))
			after.Skip()
			if err := after.End(""); err != nil {
				t.Errorf("%q became %q, which is no JSON: %v", text, once, err)
			}
		}
	})
}
