package app_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"tim/internal/apptest"
	"tim/internal/fault"
)

// The name may be in the query, or in the form before or after the file. It is the caller's account or display name.
func TestAvatarUpload(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		s.registerAs(t, "av.a", "阿凡达")
		s.register(t, "av.b")
		token := s.login(t, "av.a")
		foreign := want{http.StatusForbidden, fault.NotYourAccount, "无权操作其他账号", "the account is somebody else's"}
		n := 0
		picture := func() []byte { // each is another picture, so that the test sees which was stored last
			n++
			return append(jpgBytes(t), byte(n))
		}
		name := func(name string) []part { return []part{field("username", name)} }
		for what, upload := range map[string]func(data []byte, name string) ask{
			"in the query": func(data []byte, name string) ask {
				return ask{path: query("/uploadheadpic", "username", name), form: fileForm(data)}
			},
			"before the file": func(data []byte, n string) ask {
				return ask{path: "/uploadheadpic", form: fileForm(data).around(name(n), nil)}
			},
			"after the file": func(data []byte, n string) ask {
				return ask{path: "/uploadheadpic", form: fileForm(data).around(nil, name(n))}
			},
		} {
			var last []byte
			for _, own := range []string{"av.a", "阿凡达"} {
				last = picture()
				a := upload(last, own)
				a.token = token
				if got := s.do(t, a); got.status != http.StatusOK || got.body != "上传成功" {
					t.Errorf("%s %s: %d %s", what, own, got.status, got.body)
				}
			}
			a := upload(last, "av.a")
			a.token, a.header = token, map[string]string{"Tim-Language": "en"}
			if got := s.do(t, a); got.body != "uploaded" {
				t.Errorf("in English: %s", got.body)
			}
			for _, other := range []string{"av.b", "AV.B", "nobody", "av.a ", "AV.A", ""} {
				a := upload(picture(), other)
				a.token = token
				s.refused(t, a, foreign)
			}
			if got := s.avatar(t, token, "av.a"); got != string(last) {
				t.Errorf("%s: the avatar is not the last that was stored", what)
			}
		}
		last := picture() // without a name: the token's account
		if got := s.do(t, ask{path: "/uploadheadpic", token: token, form: fileForm(last)}); got.status != http.StatusOK || got.body != "上传成功" {
			t.Errorf("without a name: %d %s", got.status, got.body)
		}
		if s.avatar(t, token, "av.a") != string(last) {
			t.Error("without a name: the avatar is not the last that was stored")
		}
	})
}

// avatar follows the link to an avatar, without a token.
func (s *site) avatar(t testing.TB, token, name string) string {
	t.Helper()
	link := s.do(t, ask{path: query("/headpicurl", "username", name), token: token})
	path, ok := strings.CutPrefix(link.body, s.URL)
	if link.status != http.StatusOK || !ok {
		t.Fatalf("link to %s: %d %q", name, link.status, link.body)
	}
	got := s.do(t, ask{path: path})
	if got.status != http.StatusOK || got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Fatalf("%s: %d %v", path, got.status, got.header)
	}
	return got.body
}

// setAvatar stores a picture for an account.
func (s *site) setAvatar(t testing.TB, token, account string, data []byte) {
	t.Helper()
	got := s.do(t, ask{path: query("/uploadheadpic", "username", account), token: token, form: fileForm(data)})
	if got.status != http.StatusOK {
		t.Fatalf("avatar of %s: %d %s", account, got.status, got.body)
	}
}

// The accounts that names in avatar links mean.
func TestAvatarNames(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		for account, username := range map[string]string{"an.a": "唯一", "an.b": "重名", "an.c": "重名", "an.d": "an.a", "an.e": "无图", "é.f": "f"} {
			s.registerAs(t, account, username)
		}
		tokens := map[string]string{}
		for _, account := range []string{"an.a", "an.b", "an.c", "an.d", "é.f"} {
			tokens[account] = s.login(t, account)
			s.setAvatar(t, tokens[account], account, append(jpgBytes(t), account...))
		}
		for name, account := range map[string]string{
			"an.a": "an.a", // an account takes precedence over another's display name
			"唯一":   "an.a", "an.b": "an.b", "an.c": "an.c", "an.d": "an.d", "é.f": "é.f", "e\u0301.f": "é.f", "f": "é.f",
		} {
			if got := s.avatar(t, tokens["an.b"], name); !strings.HasSuffix(got, account) {
				t.Errorf("%s is not the avatar of %s", name, account)
			}
		}
		for name, reason := range map[string]fault.Reason{"重名": fault.UnknownAccount, "nobody": fault.UnknownAccount, "an.e": fault.NoAvatar, "无图": fault.NoAvatar} {
			s.refusedText(t, ask{path: query("/headpicurl", "username", name), token: tokens["an.a"]}, want{http.StatusNotFound, reason, "", ""})
		}
		// The original server stored avatars under display names. Somebody may have copied in a file that is no picture.
		s.plant(t, "avatar/无图", pngBytes(t))
		if got := s.avatar(t, tokens["an.a"], "an.e"); got != string(pngBytes(t)) {
			t.Error("the original's avatar is not found")
		}
		s.plant(t, "avatar/无图", []byte("<script>alert(1)</script>"))
		s.refusedText(t, ask{path: query("/headpicurl", "username", "an.e"), token: tokens["an.a"]}, want{http.StatusNotFound, fault.NoAvatar, "", ""})
	})
}

func TestAvatarLinks(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		a, b := s.enter(t, "al.a"), s.enter(t, "al.b")
		s.setAvatar(t, a, "al.a", pngBytes(t))
		s.setAvatar(t, b, "al.b", jpgBytes(t))
		link, err := url.Parse(s.do(t, ask{path: query("/headpicurl", "username", "al.a"), token: b}).body)
		if err != nil {
			t.Fatal(err)
		}
		got := s.do(t, ask{path: link.RequestURI()})
		if got.status != http.StatusOK || got.header.Get("Content-Type") != "image/png" || got.body != string(pngBytes(t)) {
			t.Errorf("the link: %d %v", got.status, got.header)
		}
		part := s.do(t, ask{path: link.RequestURI(), header: map[string]string{"Range": "bytes=0-3"}})
		if part.status != http.StatusPartialContent || part.body != string(pngBytes(t)[:4]) {
			t.Errorf("a part: %d", part.status)
		}
		invalid := want{http.StatusForbidden, fault.InvalidLink, "链接无效", "the link is not valid"}
		good := link.Query()
		tampered := func(name, value string) string {
			q := link.Query()
			q.Set(name, value)
			return link.Path + "?" + q.Encode()
		}
		later := strconv.FormatInt(time.Now().Add(time.Hour*1000).Unix(), 10)
		for _, path := range []string{
			tampered("expires", later), tampered("expires", "0"), tampered("signature", flip(good.Get("signature"))), tampered("signature", "x"),
			strings.Replace(link.RequestURI(), "al.a", "al.b", 1), strings.Replace(link.RequestURI(), "al.a", "AL.A", 1), strings.Replace(link.RequestURI(), "al.a", "nobody", 1),
		} {
			s.refused(t, ask{path: path}, invalid)
		}
		for _, path := range []string{link.Path, tampered("expires", "x"), tampered("expires", ""), tampered("signature", ""), tampered("signature", strings.Repeat("x", 65))} {
			s.refused(t, ask{path: path}, invalidParameter())
		}
		// Links that were made before show the new picture.
		s.setAvatar(t, a, "al.a", bmpBytes())
		if again := s.do(t, ask{path: link.RequestURI()}); again.header.Get("Content-Type") != "image/bmp" {
			t.Errorf("after a new picture: %d %v", again.status, again.header)
		}
	})
}

// A link is the same for as long as the picture is. What it leads to may be kept for as long as the link is valid; a link of an
// earlier picture, or one without a version, leads to the new one and is asked for each time.
func TestAvatarCaching(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		token := s.enter(t, "ac.a")
		link := func() string {
			t.Helper()
			got := s.do(t, ask{path: query("/headpicurl", "username", "ac.a"), token: token})
			if got.status != http.StatusOK || got.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%d %v", got.status, got.header)
			}
			return strings.TrimPrefix(got.body, s.URL)
		}
		shows := func(path, picture, caching string) {
			t.Helper()
			got := s.do(t, ask{path: path})
			if got.body != picture || !strings.HasPrefix(got.header.Get("Cache-Control"), caching) {
				t.Errorf("%s: %d, %d bytes, %s, want %d bytes, %s", path, got.status, len(got.body), got.header.Get("Cache-Control"), len(picture), caching)
			}
			again := s.do(t, ask{path: path, header: map[string]string{"If-None-Match": got.header.Get("ETag")}})
			if again.status != http.StatusNotModified || !strings.HasPrefix(again.header.Get("Cache-Control"), caching) {
				t.Errorf("%s again: %d %v", path, again.status, again.header)
			}
		}
		one, two := string(jpgBytes(t))+"1", string(jpgBytes(t))+"2"
		s.setAvatar(t, token, "ac.a", []byte(one))
		first := link()
		if link() != first {
			t.Error("the same picture has two links")
		}
		const kept, asked = "private, max-age=", "private, no-cache"
		shows(first, one, kept)
		s.setAvatar(t, token, "ac.a", []byte(two))
		second := link()
		if second == first {
			t.Error("two pictures have one link")
		}
		shows(second, two, kept)
		shows(first, two, asked)
		unversioned, _, _ := strings.Cut(second, "&version=")
		shows(unversioned, two, asked) // as links were made before
		shows(second+"x", two, asked)
		lasts, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(s.do(t, ask{path: second}).header.Get("Cache-Control"), kept), ", immutable"))
		if err != nil || lasts < 23*3600 || lasts > 8*24*3600 {
			t.Errorf("kept for %d s: %v", lasts, err)
		}
		gone := s.do(t, ask{path: strings.Replace(second, "signature=", "signature=x", 1)})
		if gone.status != http.StatusForbidden || gone.header.Get("Cache-Control") != "no-store" || gone.header.Get("ETag") != "" {
			t.Errorf("a bad link: %d %v", gone.status, gone.header)
		}
	})
}

// A link that the server signed a while ago.
func TestExpiredAvatarLink(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--jwt-key="+signingKey)
	token := s.enter(t, "ex.a")
	s.setAvatar(t, token, "ex.a", jpgBytes(t))
	expires, signature := signLink(t, "ex.a", time.Now().Add(-time.Second))
	s.refused(t, ask{path: query("/avatar/ex.a", "expires", expires, "signature", signature)},
		want{http.StatusForbidden, fault.ExpiredLink, "链接已过期", "the link has expired"})
	// The same function makes a valid link, so only the time was refused.
	expires, signature = signLink(t, "ex.a", time.Now().Add(time.Minute))
	if got := s.do(t, ask{path: query("/avatar/ex.a", "expires", expires, "signature", signature)}); got.status != http.StatusOK {
		t.Errorf("a good link: %d %s", got.status, got.body)
	}
}

// Links are absolute. Their address comes from the setting, otherwise from the request's Host, and from a proxy's headers only
// if the proxy is trusted.
func TestAvatarLinkBase(t *testing.T) {
	t.Parallel()
	forwarded := map[string]string{"Host": "inner:1", "X-Forwarded-Host": "chat.example.org", "X-Forwarded-Proto": "https"}
	for name, tt := range map[string]struct {
		flags  []string
		header map[string]string
		want   string
	}{
		"host":              {nil, map[string]string{"Host": "tim.example:1234"}, "http://tim.example:1234"},
		"a stranger's word": {nil, forwarded, "http://inner:1"},
		"another proxy":     {[]string{"--trusted-proxies=10.0.0.0/8"}, forwarded, "http://inner:1"},
		"a trusted proxy":   {[]string{"--trusted-proxies=127.0.0.1"}, forwarded, "https://chat.example.org"},
		"a range, IPv6 too": {[]string{"--trusted-proxies=::1,127.0.0.0/8"}, forwarded, "https://chat.example.org"},
		"two proxies": {[]string{"--trusted-proxies=127.0.0.1"}, map[string]string{
			"X-Forwarded-For": "203.0.113.9, 127.0.0.1", "X-Forwarded-Host": "a.example, b.example", "X-Forwarded-Proto": "https, http",
		}, "https://a.example"},
		"a word before the proxy's": {[]string{"--trusted-proxies=127.0.0.1"}, map[string]string{"X-Forwarded-Host": "evil.example, b.example:80"}, "http://b.example"},
		"a strange scheme":          {[]string{"--trusted-proxies=127.0.0.1"}, map[string]string{"Host": "h", "X-Forwarded-Proto": "javascript"}, "http://h"},
		"the setting":               {[]string{"--public-url=https://public.example/tim/", "--trusted-proxies=127.0.0.1"}, forwarded, "https://public.example/tim"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, apptest.Embedded, tt.flags...)
			token := s.enter(t, "lb.a")
			s.setAvatar(t, token, "lb.a", jpgBytes(t))
			got := s.do(t, ask{path: query("/headpicurl", "username", "lb.a"), token: token, header: tt.header})
			if !strings.HasPrefix(got.body, tt.want+"/avatar/lb.a?") {
				t.Errorf("%s, want %s", got.body, tt.want)
			}
		})
	}
}
