package app_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"tim/internal/apptest"
	"tim/internal/fault"
)

// refusesLogin checks that an account is refused after too many failures, and that the answer says when to try again. Failures
// are forgiven with time, so it adds some and tries again if the machine is slow.
func (s *site) refusesLogin(t *testing.T, account, password string, within int, header map[string]string) {
	t.Helper()
	login := func(password, language string) answer {
		return s.do(t, ask{
			path: "/Tim/UserLogin", header: with(header, "Tim-Language", language),
			json: encodeJSON(t, map[string]string{"account": account, "password": password}),
		})
	}
	for language, text := range map[string]string{"zh": "尝试次数过多，请稍后再试", "en": "too many attempts; try again later"} {
		var got answer
		for range 10 {
			for login("wrong!", "").status != http.StatusTooManyRequests { //nolint:revive // the failures are the purpose
			}
			if got = login(password, language); got.status == http.StatusTooManyRequests {
				break
			}
		}
		after, err := strconv.Atoi(got.header.Get("Retry-After"))
		if got.status != http.StatusTooManyRequests || got.Code != fault.CodeFailure || got.Reason != string(fault.TooManyAttempts) || got.Message != text {
			t.Errorf("%s: got %d %s, want 429 %s", account, got.status, got.body, text)
		}
		if err != nil || after < 1 || after > within {
			t.Errorf("%s: Retry-After: %v %d, want 1 to %d", account, err, after, within)
		}
	}
}

// Failures count for each account, also for accounts that don't exist, and whatever the spelling.
func TestLoginLimitPerAccount(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		s.register(t, "la.é")
		s.register(t, "la.b")
		spellings := []string{"la.\u00e9", "la.e\u0301"}
		for i := range 4 {
			if got := s.tryLogin(t, spellings[i%2], "wrong!"); got.status != http.StatusUnauthorized {
				t.Fatalf("failure %d: %d %s", i, got.status, got.body)
			}
			if got := s.tryLogin(t, "la.nobody", "wrong!"); got.status != http.StatusUnauthorized {
				t.Fatalf("failure %d of nobody: %d %s", i, got.status, got.body)
			}
		}
		for _, account := range append(spellings, "la.nobody") {
			s.refusesLogin(t, account, "wrong!", 30, nil)
			s.refusesLogin(t, account, apptest.Password, 30, nil) // even the right password
		}
		// Attempts at once see each other's failures: no more get through than there are processors.
		guesses := make([]ask, 30)
		for i := range guesses {
			guesses[i] = ask{path: "/Tim/UserLogin", json: `{"account":"la.many","password":"wrong!"}`}
		}
		if counts := s.atOnce(t, guesses); counts[http.StatusUnauthorized] > 4+runtime.GOMAXPROCS(0) || counts[http.StatusTooManyRequests] == 0 {
			t.Errorf("30 guesses at once: %v", counts)
		}
		s.login(t, "la.b") // other accounts at the same address are not affected
		if got := s.tryLogin(t, "la.b", "wrong!"); got.status != http.StatusUnauthorized {
			t.Errorf("another account: %d %s", got.status, got.body)
		}
	}, "--limit-login-failures=4", "--limit-address-login-failures=0")
}

// Failures count for each address. A right password doesn't count, and a proxy's header counts only if the proxy is trusted.
func TestLoginLimitPerAddress(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--limit-login-failures=0", "--limit-address-login-failures=5", "--trusted-proxies=127.0.0.1")
	s.register(t, "ad.a")
	from := func(address string) map[string]string { return map[string]string{"X-Forwarded-For": address} }
	for range 20 { // successes don't count
		s.login(t, "ad.a")
	}
	for i := range 5 {
		got := s.do(t, ask{path: "/Tim/UserLogin", json: fmt.Sprintf(`{"account":"ad.%d","password":"wrong!"}`, i), header: from("192.0.2.1")})
		if got.status != http.StatusUnauthorized {
			t.Fatalf("failure %d: %d %s", i, got.status, got.body)
		}
	}
	s.refusesLogin(t, "ad.a", apptest.Password, 1, from("192.0.2.1"))
	s.refusesLogin(t, "ad.new", "wrong!", 1, from("198.51.100.9, 192.0.2.1")) // an address that the client itself put before the proxy's doesn't count
	s.login(t, "ad.a")
	if got := s.do(t, ask{path: "/Tim/UserLogin", json: `{"account":"ad.a","password":"123456"}`, header: from("192.0.2.2")}); got.status != http.StatusOK {
		t.Errorf("another address: %d %s", got.status, got.body)
	}
	open := start(t, apptest.Embedded, "--limit-login-failures=0", "--limit-address-login-failures=2")
	for i := range 2 {
		open.do(t, ask{path: "/Tim/UserLogin", json: `{"account":"x","password":"wrong!"}`, header: from("192.0.2." + strconv.Itoa(i))})
	}
	open.refusesLogin(t, "x", "wrong!", 1, from("192.0.2.77")) // no proxy is trusted, so all requests came from one address
}

// No answer may tell whether an account exists: the answers are equal in every byte and header.
func TestLoginTellsNothing(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		s.register(t, "tn.a")
		known, unknown := s.tryLogin(t, "tn.a", "wrong!"), s.tryLogin(t, "tn.nobody", "wrong!")
		for _, header := range []string{"Date", "Tim-Request-Id"} {
			known.header.Del(header)
			unknown.header.Del(header)
		}
		diff(t, "status", known.status, unknown.status)
		diff(t, "body", known.body, unknown.body)
		diff(t, "header", known.header, unknown.header)
		for _, password := range []string{"x", strings.Repeat("a", 73), strings.Repeat("密", 100), strings.Repeat("x", 500)} {
			for _, account := range []string{"tn.a", "tn.nobody", "all", "tn.a "} {
				if got := s.tryLogin(t, account, password); got.status != http.StatusUnauthorized {
					t.Errorf("%s with %d bytes: %d %s", account, len(password), got.status, got.body)
				}
			}
		}
	}, "--limit-login-failures=0", "--limit-address-login-failures=0")
}

// The time of an answer doesn't tell whether an account exists: both answers take as long as a comparison of passwords. Without the
// comparison an answer would take a fiftieth of that. The shortest of many times is what it takes without other programs; on a busy
// machine that needs more of them.
func TestLoginTakesAsLong(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--bcrypt-cost=9", "--limit-login-failures=0", "--limit-address-login-failures=0")
	s.register(t, "ta.a")
	measure := func(account string, least time.Duration) time.Duration {
		before := time.Now()
		if got := s.tryLogin(t, account, "wrong!"); got.status != http.StatusUnauthorized {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return min(least, time.Since(before))
	}
	known, unknown := time.Hour, time.Hour
	alike := func() bool { return unknown >= known/4 && known >= unknown/4 }
	for n := 0; n < 5 || n < 100 && !alike(); n++ {
		known, unknown = measure("ta.a", known), measure("ta.nobody", unknown)
	}
	if !alike() {
		t.Errorf("an account that exists takes %s, another %s", known, unknown)
	}
}

// Bytes that bcrypt would ignore are refused.
func TestLongPasswords(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--limit-login-failures=0")
	long := strings.Repeat("a", 72)
	s.do(t, ask{path: "/Tim/UserRegister", json: registration(t, "lp.a", map[string]any{"password": long})})
	for password, status := range map[string]int{long: http.StatusOK, long + "b": http.StatusUnauthorized, long[:71]: http.StatusUnauthorized, long[:71] + "A": http.StatusUnauthorized} {
		if got := s.tryLogin(t, "lp.a", password); got.status != status {
			t.Errorf("%d bytes: %d, want %d", len(password), got.status, status)
		}
	}
}

// Messages over REST are limited as a socket's frames are, for all sessions of an account together. A refused message isn't stored.
func TestSendLimit(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		a, b := s.enter(t, "sl.a"), s.enter(t, "sl.b")
		s.befriend(t, a, "sl.a", "sl.b")
		for i := range 3 {
			into[sent](t, s.do(t, text(a, toUser("sl.b"), fmt.Sprint(i), "x")))
		}
		tooFast := want{http.StatusTooManyRequests, fault.RateLimited, "发送过快，请稍后再试", "too fast; try again later"}
		s.refused(t, text(a, toUser("sl.b"), "3", "x"), tooFast)
		if got := s.do(t, text(a, toUser("sl.b"), "3", "x")); got.header.Get("Retry-After") == "" {
			t.Errorf("no Retry-After: %v", got.header)
		}
		into[sent](t, s.do(t, text(b, toUser("sl.a"), "0", "y")))
		s.refused(t, text(s.login(t, "sl.a"), toUser("sl.b"), "4", "x"), tooFast) // another session of the same account
		diff(t, "the newest", int64(4), into[history](t, s.do(t, get(b, "/Tim/getHistory", "account", "sl.b", "FriendAccount", "sl.a"))).Last)
	}, "--limit-send-rate=0.01", "--limit-send-burst=3")
}

func TestNoSendLimit(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--limit-send-rate=0", "--limit-send-burst=3")
	a := s.enter(t, "ns.a")
	group := s.createGroup(t, a, "ns.a", "ns")
	for i := range 10 {
		into[sent](t, s.do(t, text(a, toGroup(group), fmt.Sprint(i), "x")))
	}
}

// The numbers of groups, members and friends are bounded as the settings say, and groups made under a policy let nobody in.
func TestLimitsOfPeople(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		a, b, c := s.enter(t, "lp.a"), s.enter(t, "lp.b"), s.enter(t, "lp.c")
		s.register(t, "lp.d")
		s.befriend(t, a, "lp.a", "lp.b")
		s.befriend(t, a, "lp.a", "lp.c")
		many := want{http.StatusConflict, fault.TooManyFriends, "好友数量已达上限", "one of the two has as many friends as an account may"}
		s.refused(t, get(a, "/Tim/addFriend", "UserAccount", "lp.a", "FriendAccount", "lp.d"), many)
		group := s.createGroup(t, a, "lp.a", "lp")
		id := fmt.Sprint(group)
		s.refused(t, post(b, "/Tim/joinGroup", "UserAccount", "lp.b", "GroupID", id), want{
			http.StatusForbidden, fault.InviteRequired, "该群聊只能由群主邀请加入", "members are added by the group's owner",
		})
		s.succeedsOnce(t, post(a, "/Tim/addMember", "UserAccount", "lp.a", "GroupID", id, "MemberAccount", "lp.b"), "添加成员成功")
		s.refused(t, post(a, "/Tim/addMember", "UserAccount", "lp.a", "GroupID", id, "MemberAccount", "lp.c"), want{
			http.StatusConflict, fault.GroupFull, "群成员数量已达上限", "the group has as many members as it may",
		})
		s.refused(t, post(a, "/Tim/createGroup", "CreateUserAccount", "lp.a", "GroupName", "lp 2"), want{
			http.StatusConflict, fault.TooManyGroups, "拥有的群聊数量已达上限", "the account owns as many groups as it may",
		})
		for i := range 2 {
			s.succeedsOnce(t, post(c, "/Tim/dissolveGroup", "UserAccount", "lp.c", "GroupID", fmt.Sprint(s.createGroup(t, c, "lp.c", fmt.Sprint("of c ", i)))), "解散群聊成功")
		}
		third := post(c, "/Tim/createGroup", "CreateUserAccount", "lp.c", "GroupName", "lp 3")
		s.refused(t, third, want{
			http.StatusTooManyRequests, fault.TooManyGroupsToday, "今日创建群聊数量已达上限", "as many groups were created today as may be",
		})
		if after, err := strconv.Atoi(s.do(t, third).header.Get("Retry-After")); err != nil || after < 1 || after > 24*60*60 {
			t.Errorf("Retry-After: %d, %v", after, err)
		}
	}, "--limit-friends=2", "--group-join-policy=invite", "--limit-group-members=2", "--limit-groups-owned=1", "--limit-groups-per-day=2")
}

// Nobody joins a closed group by itself.
func TestClosedGroup(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--group-join-policy=closed")
	a, b := s.enter(t, "cg.a"), s.enter(t, "cg.b")
	id := fmt.Sprint(s.createGroup(t, a, "cg.a", "cg"))
	got := s.do(t, post(b, "/Tim/joinGroup", "UserAccount", "cg.b", "GroupID", id))
	if got.status != http.StatusForbidden || got.Reason != string(fault.GroupClosed) {
		t.Errorf("join: %d %s", got.status, got.body)
	}
}

// An upload beyond an account's bytes is refused and leaves nothing; another account has its own.
func TestAccountBytes(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--limit-account-bytes=5000")
	a, b := s.enter(t, "ab.a"), s.enter(t, "ab.b")
	upload := func(token string) answer {
		return s.do(t, ask{path: "/uploadmp4", token: token, form: fileForm(mp4Bytes("isom", 3000))})
	}
	if got := upload(a); got.status != http.StatusOK {
		t.Fatalf("the first: %d %s", got.status, got.body)
	}
	if got := upload(a); got.status != http.StatusRequestEntityTooLarge || got.header.Get("Tim-Reason") != string(fault.QuotaExceeded) && got.Reason != string(fault.QuotaExceeded) {
		t.Errorf("the second: %d %v %s", got.status, got.header, got.body)
	}
	if got := upload(b); got.status != http.StatusOK {
		t.Errorf("another account's: %d %s", got.status, got.body)
	}
}
