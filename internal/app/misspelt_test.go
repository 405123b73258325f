package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestMisspeltSettings(t *testing.T) {
	t.Parallel()
	known := []string{
		"TIM_LISTEN", "TIM_ADMIN_LISTEN", "TIM_DATA_DIR", "TIM_MYSQL_DSN", "TIM_REDIS_URL", "TIM_JWT_KEY", "TIM_ALLOWED_ORIGINS", "TIM_TOKEN_LIFE",
		"TIM_TRUSTED_PROXIES", "TIM_LOG_LEVEL", "TIM_LIMIT_SQL_CONNECTIONS", "TIM_LIMIT_FRAME_BYTES", "TIM_LIMIT_BODY_BYTES", "TIM_SESSION_LIFETIME",
	}
	for variable, want := range map[string]string{ // "" for no line, "-" for one that names no other
		"TIM_LISTEN=:1":                            "",
		"TIM_LISTEN=":                              "",
		"PATH=/bin":                                "",
		"TIMEZONE=x":                               "",
		"TIME_STYLE=x":                             "",
		"XTIM_LISTEN=x":                            "",
		"TIM_LISTENS=x":                            "TIM_LISTEN",
		"TIM_LSITEN=x":                             "TIM_LISTEN",
		"TIM_lISTEN=x":                             "TIM_LISTEN",
		"tim_jwt_key=x":                            "TIM_JWT_KEY",
		"TIM_JWTKEY=x":                             "TIM_JWT_KEY",
		"TIM_JWT_KEYS=x":                           "TIM_JWT_KEY",
		"TIM_MYSQL_DNS=x":                          "TIM_MYSQL_DSN",
		"TIM_REDIS=redis://x":                      "TIM_REDIS_URL",
		"TIM_ALLOWED_ORIGIN=x":                     "TIM_ALLOWED_ORIGINS",
		"TIM_ALLOW_ORIGINS=x":                      "TIM_ALLOWED_ORIGINS",
		"TIM_SQL_CONNECTIONS=x":                    "TIM_LIMIT_SQL_CONNECTIONS",
		"TIM_FRAME_BYTES=1":                        "TIM_LIMIT_FRAME_BYTES",
		"TIM_LIMIT_FRAMEBYTES=1":                   "TIM_LIMIT_FRAME_BYTES",
		"TIM_SESSION_LIFE=1h":                      "TIM_SESSION_LIFETIME",
		"TIM_DATADIR=/x":                           "TIM_DATA_DIR",
		"TIM_TRUSTED_PROXY=x":                      "TIM_TRUSTED_PROXIES",
		"TIM_=x":                                   "-",
		"TIM_HOMEPAGE_BACKGROUND=blue":             "-",
		"TIM_PORT=8081":                            "-",
		"TIM_PORT=tcp://10.0.0.7:8081":             "", // of Kubernetes, beside a service called tim
		"TIM_PORT_8081_TCP=tcp://10.0.0.7:8081":    "",
		"TIM_PORT_8081_TCP_ADDR=10.0.0.7":          "",
		"TIM_SERVICE_HOST=10.0.0.7":                "",
		"TIM_SERVICE_PORT=8081":                    "",
		"TIM_SERVICE_PORT_HTTP=8081":               "",
		"TIM_ADMIN_SERVICE_HOST=10.0.0.7":          "",
		"TIM_ADMIN_PORT_8082_TCP_PROTO=tcp":        "",
		"TIM_LISTEN" + strings.Repeat("X", 500):    "-",
		"TIM_\nLISTEN\x1b[31m=x":                   "-",
		"TIM_LIMIT_SQL_CONNECTIONS_PER_NODE=32":    "TIM_LIMIT_SQL_CONNECTIONS",
		"TIM_ALLOWED_ORIGINS_=https://example.org": "TIM_ALLOWED_ORIGINS",
	} {
		var out bytes.Buffer
		WarnOfMisspelt([]string{"A=b", variable}, known, slog.New(slog.NewTextHandler(&out, nil)))
		line := out.String()
		if (want == "") != (line == "") || strings.Count(line, "\n") > 1 || want == "-" && strings.Contains(line, "nearest") ||
			len(want) > 1 && !strings.Contains(line, "nearest="+want+"\n") {
			t.Errorf("%q, want %q, got %s", variable, want, line)
		}
		if _, value, _ := strings.Cut(variable, "="); len(value) > 3 && strings.Contains(line, value) {
			t.Errorf("the value of %q is in the log, which may be a secret: %s", variable, line)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abcd", "badc", 2}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got, back := distance(tt.a, tt.b), distance(tt.b, tt.a); got != tt.want || back != tt.want {
			t.Errorf("%q to %q: %d, back %d, want %d", tt.a, tt.b, got, back, tt.want)
		}
	}
}
