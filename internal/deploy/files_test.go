package deploy_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"tim/internal/app"
	"tim/internal/testserver"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

// parse reads settings as the command does, from NAME=value.
func parse(t *testing.T, environment map[string]string) app.Settings {
	t.Helper()
	var settings app.Settings
	parser, err := kong.New(&settings, kong.Vars{"admin_listen": app.DefaultAdminListen})
	must(t, err)
	var args []string
	for name, value := range environment {
		flag, ours := strings.CutPrefix(name, "TIM_")
		if !ours {
			t.Errorf("%s is no setting", name)
		}
		args = append(args, "--"+strings.ToLower(strings.ReplaceAll(flag, "_", "-"))+"="+value)
	}
	_, err = parser.Parse(args)
	must(t, err)
	return settings
}

// setting matches the name of a setting.
var setting = regexp.MustCompile(`\bTIM_[A-Z0-9_]+`)

func TestEverySettingNamedExists(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&app.Settings{}, kong.Vars{"admin_listen": ""})
	must(t, err)
	var known []string
	for _, flag := range parser.Model.Flags {
		known = append(known, flag.Envs...)
	}
	for _, file := range []string{"tim.service", "nginx.conf", "haproxy.cfg", "compose.yaml", "Dockerfile"} {
		names := setting.FindAllString(read(t, file), -1)
		if len(names) == 0 {
			t.Errorf("%s names no setting", file)
		}
		for _, name := range names {
			if !slices.Contains(known, name) {
				t.Errorf("%s: the server has no setting %s", file, name)
			}
		}
	}
}

// unit reads the unit file: values by name.
func unit(t *testing.T) map[string]string {
	t.Helper()
	values := make(map[string]string)
	for line := range strings.Lines(read(t, "tim.service")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			values[name] = value
		}
	}
	return values
}

func TestUnit(t *testing.T) {
	t.Parallel()
	analyze := testserver.LookPath(t, "systemd-analyze")
	program := filepath.Join(t.TempDir(), "tim")
	write(t, program, "#!/bin/sh\n")
	must(t, os.Chmod(program, 0o700))
	file := filepath.Join(t.TempDir(), "tim.service")
	write(t, file, shipped(t, "tim.service", "/usr/local/bin/tim", program))
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file).CombinedOutput()
	if text := string(out); err != nil || strings.Contains(text, file) || strings.Contains(text, "tim.service") {
		t.Errorf("%v\n%s", err, out)
	}
	// Of 100, where 0 is the least exposed.
	if out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=yes", "--threshold=20", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}

	values := unit(t)
	name, value, _ := strings.Cut(values["Environment"], "=")
	settings := parse(t, map[string]string{name: value})
	if values["StateDirectory"] != filepath.Base(settings.DataDir) || filepath.Dir(settings.DataDir) != "/var/lib" {
		t.Errorf("data lies in %s, and may be written in /var/lib/%s", settings.DataDir, values["StateDirectory"])
	}
	longer(t, values["TimeoutStopSec"], settings.DrainTimeout)
}

// longer checks that the time for a stop is 10 s longer than draining takes.
func longer(t *testing.T, stop string, drain time.Duration) {
	t.Helper()
	if d, err := time.ParseDuration(stop); err != nil || d < drain+10*time.Second {
		t.Errorf("a stop may take %q, and draining takes %s", stop, drain)
	}
}

// service is the part of a service in the compose file that the tests check.
type service struct {
	Build struct {
		Context    string `yaml:"context"`
		Dockerfile string `yaml:"dockerfile"`
		Target     string `yaml:"target"`
	} `yaml:"build"`
	Environment map[string]string `yaml:"environment"`
	StopGrace   string            `yaml:"stop_grace_period"`
	Volumes     []string          `yaml:"volumes"`
	Networks    yaml.Node         `yaml:"networks"`
	Depends     yaml.Node         `yaml:"depends_on"`
}

// variable matches a variable of the compose file. One with :? must be set, one with :- has a default.
var variable = regexp.MustCompile(`\$\{([A-Z0-9_]+)(:[?-])?([^}]*)\}`)

func TestCompose(t *testing.T) {
	t.Parallel()
	text := read(t, "compose.yaml")
	for _, v := range variable.FindAllStringSubmatch(text, -1) {
		if secret := regexp.MustCompile("PASSWORD|KEY").MatchString(v[1]); secret && v[2] != ":?" || !secret && v[2] != ":-" {
			t.Errorf("%s: what is secret has no default, all else has one", v[0])
		}
	}
	var compose struct {
		Services map[string]service `yaml:"services"`
	}
	must(t, yaml.Unmarshal([]byte(text), &compose))
	balancer := read(t, "haproxy.cfg")
	for _, name := range []string{"tim1", "tim2"} {
		node := compose.Services[name]
		environment := make(map[string]string)
		for name, value := range node.Environment {
			environment[name] = variable.ReplaceAllStringFunc(value, func(v string) string {
				if parts := variable.FindStringSubmatch(v); parts[2] == ":-" {
					return parts[3]
				}
				return "Jx4Bn8Ty2Wd5Qz7Kr3Vf6Hs9Lp1Mc0Gt"
			})
		}
		settings := parse(t, environment)
		longer(t, node.StopGrace, settings.DrainTimeout)
		if !strings.Contains(balancer, " "+name+":8081\n") || settings.Listen != ":8081" {
			t.Errorf("haproxy.cfg doesn't lead to %s%s", name, settings.Listen)
		}
		var networks struct {
			Tim struct {
				Address string `yaml:"ipv4_address"`
			} `yaml:"tim"`
		}
		proxy := compose.Services["proxy"]
		must(t, proxy.Networks.Decode(&networks))
		if !slices.Equal(settings.TrustedProxies, []string{networks.Tim.Address}) {
			t.Errorf("%s trusts %v, the proxy is %s", name, settings.TrustedProxies, networks.Tim.Address)
		}
		for _, file := range []string{filepath.Join(node.Build.Context, node.Build.Dockerfile), filepath.Join(node.Build.Context, "go.mod")} {
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, address := range []string{"@tcp(mariadb:3306)", "@redis:6379", "http://minio:9000"} {
			host := regexp.MustCompile(`[a-z]+:\d`).FindString(address)
			host, _, _ = strings.Cut(host, ":")
			if _, there := compose.Services[host]; !there || !strings.Contains(settings.MySQLDSN+settings.RedisURL+settings.S3Endpoint, address) {
				t.Errorf("%s doesn't use the service %s", name, host)
			}
		}
	}
}

// The Dockerfile must copy every folder that the server is built from, and its ignore file must let it through.
func TestImageHasAllSources(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", "./cmd/tim")
	list.Dir = "../.."
	out, err := list.Output()
	if exit, failed := errors.AsType[*exec.ExitError](err); failed {
		t.Fatalf("%s", exit.Stderr)
	}
	must(t, err)
	docker, ignore := read(t, "Dockerfile"), read(t, "Dockerfile.dockerignore")
	for path := range strings.FieldsSeq(string(out)) {
		folder, _, _ := strings.Cut(strings.TrimPrefix(path, "tim/"), "/")
		if !strings.Contains(docker, "\nCOPY "+folder+" "+folder+"\n") || !strings.Contains(ignore, "\n!"+folder+"\n") {
			t.Errorf("the image is built without %s/, which holds %s", folder, path)
		}
	}
}

// Tests and the image use the same version of MinIO.
func TestImageHasTestedMinIO(t *testing.T) {
	t.Parallel()
	module := regexp.MustCompile(`github\.com/minio/minio@[^\s']+`)
	tested, built := module.FindString(read(t, "../tools/deps.sh")), module.FindString(read(t, "Dockerfile"))
	if tested == "" || tested != built {
		t.Errorf("tests use %q, the image has %q", tested, built)
	}
}
