package app

import (
	"log/slog"
	"slices"
	"strings"
)

// settingPrefix is what the names of all settings begin with.
const settingPrefix = "TIM_"

// WarnOfMisspelt writes into the log each variable of the environment that looks like a setting and is none, with the setting of
// the nearest name. known are the names of the settings.
func WarnOfMisspelt(environment, known []string, log *slog.Logger) {
	names := make([]string, 0, len(environment))
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(strings.ToUpper(name), settingPrefix) && !slices.Contains(known, name) && !ofKubernetes(name, value) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if near := nearest(name, known); near != "" {
			log.Warn("no setting has this name; is it misspelt?", "name", name, "nearest", near)
		} else {
			log.Warn("no setting has this name", "name", name)
		}
	}
}

// ofKubernetes tells whether a variable describes a service called tim, which Kubernetes and Docker's links give to each container
// beside it: TIM_PORT=tcp://10.0.0.7:8081, TIM_PORT_8081_TCP_ADDR, TIM_SERVICE_HOST.
func ofKubernetes(name, value string) bool {
	return strings.HasPrefix(value, "tcp://") || strings.HasPrefix(value, "udp://") || strings.Contains(name, "_PORT_") &&
		(strings.Contains(name, "_TCP") || strings.Contains(name, "_UDP")) || strings.HasSuffix(name, "_SERVICE_HOST") ||
		strings.Contains(name, "_SERVICE_PORT") || strings.HasSuffix(name, "_ENV_NAME")
}

// nearest returns the name that is the most like another, "" if none is. A name without a part of its prefix is alike.
func nearest(name string, known []string) string {
	name = strings.ToUpper(name)
	best, least := "", 0
	for _, candidate := range known {
		rest := strings.TrimPrefix(name, settingPrefix)
		d := distance(name, candidate)
		if len(rest) > 3 && (strings.HasSuffix(candidate, "_"+rest) || strings.HasPrefix(candidate, name+"_")) {
			d = min(d, 1)
		}
		if best == "" || d < least {
			best, least = candidate, d
		}
	}
	if least > max(2, (len(name)-len(settingPrefix))/3) {
		return ""
	}
	return best
}

// distance is how many letters must be put in, taken out, changed, or swapped with the next to make one text the other.
func distance(a, b string) int {
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			changed := last[j-1]
			if a[i-1] != b[j-1] {
				changed++
			}
			row[j] = min(last[j]+1, row[j-1]+1, changed)
			if before != nil && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}
