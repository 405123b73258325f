package chat

import "testing"

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
