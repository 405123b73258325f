package chat

import (
	"encoding/json"
	"math"
	"testing"
	"unicode/utf8"
)

func TestTextContent(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "hello", "密码😀", "\"\\\n\t", "<b>&</b>", "\u2028", `{"kind":"text","text":"x"}`, "out"} {
		if got, shown := (Message{Body: stored(text)}).Text(); got != text || !shown {
			t.Errorf("%q comes back as %q, %v", text, got, shown)
		}
	}
	for _, body := range []string{`{"kind":"picture","url":"x"}`, `{}`, `{"text":"x"}`, `"text"`, `[]`} {
		if got, shown := (Message{Body: `{"body":` + body + `}`}).Text(); got != body || !shown {
			t.Errorf("a body of another kind, %q, reads %q, %v", body, got, shown)
		}
	}
	notice := Message{Body: noticeContent("joined", "alice", "bob").encode()}
	if got, shown := notice.Text(); shown {
		t.Errorf("a notice reads %q", got)
	}
	same(t, "a notice", `{"body":{"kind":"notice","event":"joined","actor":"alice","account":"bob"}}`, notice.Body)
	if got, shown := (Message{Body: "no JSON"}).Text(); got != "{}" || !shown {
		t.Errorf("a row that nothing writes reads %q, %v", got, shown)
	}
}

// contents has contents of all kinds, with texts that need escapes in JSON and texts that look so.
func contents() (all []Content) {
	for _, text := range []string{
		"", "hello", "密码😀", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "<b>&</b>", "\u2028", "\u2029", "\ufffd", "a\xffb", "\xe2\x80", `"}}`, `{"kind":"text","text":"x"}`,
	} {
		all = append(all, TextContent(text))
	}
	for _, body := range []string{
		`{"kind":"text"}`, `{"kind":"text","text":"x","more":1}`, `{"text":"x","kind":"text"}`, `{"kind":"text","text":"<\u2028"}`, `{ "kind":"text","text":"x"}`,
		`{"kind":"text","text":""}`, `{"kind":"text","text":"a\"}"}`, `{"kind":"custom","data":{"a":1.0}}`, `null`,
	} {
		all = append(all, Content{Body: json.RawMessage(body)})
	}
	for _, c := range all {
		all = append(all,
			Content{Body: c.Body, ReplyTo: 1}, Content{Body: c.Body, ReplyTo: math.MaxInt64, Mentions: []string{}},
			Content{Body: c.Body, Mentions: []string{"<bob>", "é"}}, Content{Body: c.Body, Mentions: []string{"bob"}, ReplyTo: 2})
	}
	return append(all, Content{})
}

// What is stored, and what is read of it, is what the JSON package makes of a content, although most contents don't pass
// through that package.
func TestContentAsStored(t *testing.T) {
	t.Parallel()
	for _, c := range contents() {
		want, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "stored", string(want), c.encode())
		compareRead(t, string(want))
		for i := range want {
			compareRead(t, string(want[:i]))
			compareRead(t, string(want[i:]))
		}
		compareRead(t, string(want)+"}")
	}
	same(t, "read of nothing", Content{}.normal(), Content{Mentions: []string{}}.normal())
}

// Whatever is stored reads as the JSON package reads it, and a text comes back as it was.
func FuzzContentAsStored(f *testing.F) {
	for c := range 256 {
		f.Add(string([]byte{'a', byte(c), 'z'}))
	}
	for _, c := range contents() {
		f.Add(c.encode())
		f.Add(string(c.Body))
	}
	f.Fuzz(func(t *testing.T, text string) {
		compareRead(t, text)
		compareRead(t, bodyHead+textHead+text+textTail+bodyTail)
		want, err := json.Marshal(bodyKindText(text))
		if err != nil {
			t.Fatal(err)
		}
		c := TextContent(text)
		same(t, "the body of a text", string(want), string(c.Body))
		if got, shown := (Message{Body: c.encode()}).Text(); got != text && utf8.ValidString(text) || !shown {
			t.Errorf("%q comes back as %q, %v", text, got, shown)
		}
		if body, plain := VerbatimText(text); plain && !json.Valid([]byte(text)) {
			t.Errorf("no JSON: %q is the body %q", text, body)
		}
	})
}

func compareRead(t *testing.T, body string) {
	t.Helper()
	want := Content{}
	if json.Unmarshal([]byte(body), &want) != nil {
		want = Content{Body: json.RawMessage("{}")}
	}
	same(t, "read of "+body, want, Message{Body: body}.Content())
	if plain, ok := (Message{Body: body}).VerbatimBody(); ok {
		same(t, "the body of "+body, string(want.Body), plain)
	}
}

// BenchmarkTextContent measures the encoding of a text.
func BenchmarkTextContent(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		TextContent("hello, this is a message of a usual length").normal().encode()
	}
}

// The server's own messages are told from those of clients, whatever these say.
func TestNotices(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		noticeContent("joined", "alice", "bob").encode():                                                     true,
		noticeContent("owner", "", "").encode():                                                              true,
		TextContent(`{"kind":"notice","event":"joined"}`).encode():                                           false,
		Content{Body: json.RawMessage(`{"kind":"custom","data":{"kind":"notice"}}`)}.encode():                false,
		Content{Body: json.RawMessage(`{"data":{},"kind":"custom"}`), Mentions: []string{"notice"}}.encode(): false,
	} {
		if got := (Message{Body: body}).IsNotice(); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
}

// The name of a file is cleaned, and nothing else of a body changes.
func TestFileNamesAreCleaned(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		`{"kind":"file","file":"f","name":"../../etc/passwd","size":7}`: `{"kind":"file","file":"f","name":"passwd","size":7}`,
		`{"kind":"image","file":"f","name":"a\u202egpj.exe"}`:           `{"kind":"image","file":"f","name":"agpj.exe"}`,
		`{"name":"C:\\x\\<b>.mp4","kind":"video","file":"f"}`:           `{"name":"\u003cb\u003e.mp4","kind":"video","file":"f"}`,
		`{"kind":"audio","file":"f","name":"\u200b"}`:                   `{"kind":"audio","file":"f","name":""}`,
		`{"kind":"file","file":"f","name":"报告.pdf"}`:                    "",
		`{"kind":"file","file":"../name"}`:                              "",
		`{"kind":"text","text":"\"name\":\"../x\""}`:                    "",
		`{"kind":"custom","data":{"name":"../x"}}`:                      "",
		`{"kind":"custom","name":"../x","data":{}}`:                     "",
		`{"kind":"file","file":"f","data":{"name":"../x"}}`:             "",
		`{"kind":"file","name":7}`:                                      "",
		`{"kind":"file","name`:                                          "",
		`"name"`:                                                        "",
		``:                                                              "",
	} {
		if want == "" {
			want = given
		}
		got := Content{Body: json.RawMessage(given)}.normal().Body
		if string(got) != want {
			t.Errorf("%s becomes %s, want %s", given, got, want)
		}
		if again := (Content{Body: got}).normal().Body; string(again) != want {
			t.Errorf("%s becomes %s, then %s", given, got, again)
		}
	}
}
