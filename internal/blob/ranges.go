package blob

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxRanges is the largest number of ranges in one request that are served separately: each may cost a request to S3.
const maxRanges = 8

// plainRange rewrites the lines of a Range header for a file of a size, by RFC 9110 section 14, in the form in which
// http.ServeContent agrees with the RFC: one unit in small letters, positions within the file. "" says that the header must, or
// may, be ignored: the unit is another one, there are several lines or more than maxRanges ranges, or the file is empty. A
// header that is malformed, or asks only for what isn't there, becomes a range behind the end, which is answered with 416.
func plainRange(lines []string, size int64) string {
	if len(lines) != 1 || size == 0 {
		return ""
	}
	unit, set, _ := strings.Cut(lines[0], "=")
	if !strings.EqualFold(strings.Trim(unit, " \t"), "bytes") {
		return ""
	}
	behind := fmt.Sprintf("bytes=%d-", size)
	var within []string
	asked := 0
	for element := range strings.SplitSeq(set, ",") {
		if element = strings.Trim(element, " \t"); element == "" {
			continue // an empty element of a list counts for nothing, section 5.6.1.2
		}
		if asked++; asked > maxRanges {
			return ""
		}
		first, last, ok := positions(element, size)
		if !ok {
			return behind
		}
		if first <= last {
			within = append(within, fmt.Sprintf("%d-%d", first, last))
		}
	}
	if len(within) == 0 {
		return behind
	}
	return "bytes=" + strings.Join(within, ",")
}

// positions reads first-last, first- or -length. last is within the file, and first lies behind it if the range can't be
// satisfied. ok is false for what is no range.
func positions(text string, size int64) (first, last int64, ok bool) {
	from, to, found := strings.Cut(text, "-")
	switch {
	case !found || from == "" && to == "":
		return 0, 0, false
	case from == "":
		length, ok := position(to)
		return max(0, size-length), size - 1, ok
	}
	first, ok = position(from)
	last = math.MaxInt64
	if ok && to != "" {
		last, ok = position(to)
	}
	if !ok || first > last {
		return 0, 0, false
	}
	return first, min(last, size-1), true
}

// position reads decimal digits. What is larger than any file becomes the largest number.
func position(digits string) (int64, bool) {
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil { // out of range
		return math.MaxInt64, true
	}
	return n, true
}
