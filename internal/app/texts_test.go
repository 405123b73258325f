package app_test

import (
	"net/http"
	"testing"

	"tim/internal/apptest"
)

// TIM_LANGUAGE is the language of requests that ask for none, or for one that the server doesn't have.
func TestLanguageSetting(t *testing.T) {
	t.Parallel()
	for setting, tt := range map[string]map[string]string{
		"zh": {"": "用户认证失败请查询登录", "en": "not authenticated; please log in", "fr": "用户认证失败请查询登录"},
		"en": {"": "not authenticated; please log in", "zh": "用户认证失败请查询登录", "fr": "not authenticated; please log in", "en": "not authenticated; please log in"},
	} {
		s := start(t, apptest.Embedded, "--language="+setting)
		for asked, text := range tt {
			got := s.do(t, ask{path: "/Tim/UserLogout", header: map[string]string{"Tim-Language": asked}})
			if got.Message != text {
				t.Errorf("set to %s, asked for %q: %s", setting, asked, got.Message)
			}
		}
		// Texts on the sockets aren't translated: openChat expects those of Tim.md.
		token := s.enter(t, "ls.a")
		s.openChat(t, "ls.a", token).close(t)
	}
}

// With TIM_ALLOW_STRANGERS accounts needn't be friends, but they must exist.
func TestAllowStrangers(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--allow-strangers")
	a, b := s.enter(t, "st.a"), s.enter(t, "st.b")
	s.openChat(t, "st.a", a)
	s.openChat(t, "st.b", b)
	sender := openDirect(t, s.URL, "st.a", "st.b", a)
	sender.write(t, "hello stranger")
	if got := openDirect(t, s.URL, "st.b", "st.a", b).readMessage(t); got.FromUser != "st.a" || got.Message != "hello stranger" {
		t.Errorf("got %+v", got)
	}
	got := s.do(t, ask{path: "/websocket/OneToOne/st.a/nobody", token: a, header: upgrade()})
	if got.status != http.StatusNotFound || got.Reason != "unknown_account" {
		t.Errorf("a stranger who isn't there: %d %s", got.status, got.body)
	}
}
