package fault

import "strings"

// problem is the wording of a kind of problem. Each % stands for a number, a name or a list, which both languages have in the same
// order.
type problem struct{ english, chinese string }

// problems has the Chinese for every Problem, special ones before general ones. Problems are made in English, as sockets tell
// them: only an answer in Chinese looks here. It is never changed.
//
//nolint:gochecknoglobals // a constant in all but name: Go has no constant arrays
var problems = []problem{
	{"is missing", "不能缺少"},
	{"must not be null", "不能为空值"},
	{"must not be empty", "不能为空"},
	{"must not be blank", "不能只有空白"},
	{"must not be empty or hold control characters", "不能为空，也不能含控制字符"},
	{"must have visible ASCII characters alone", "只能含可见的 ASCII 字符"},
	{"must not hold half of a surrogate pair", "不能含半个代理对"},
	{"is nested too deeply", "嵌套过深"},
	{"has too many fields", "字段过多"},
	{"is not a field that it can have", "不是这里可用的字段"},
	{"must have another form", "格式不正确"},
	{"must be UTF-8", "应为 UTF-8"},
	{"is no JSON, or ends too early", "不是 JSON，或提前结束"},
	{"must end after one JSON value", "只能有一个 JSON 值"},
	{"is no JSON at byte %", "从第 % 个字节起不是 JSON"},

	{"must be a string", "应为字符串"},
	{"must be a boolean", "应为布尔值"},
	{"must be an object", "应为对象"},
	{"must be an array", "应为数组"},
	{"must be a number of 64 bits", "应为 64 位的数"},
	{"must be an integer from % to %", "应为 % 到 % 的整数"},
	{"must be an integer", "应为整数"},
	{"must be a positive integer", "应为正整数"},
	{"must be a number from % to %", "应为 % 到 % 的数"},
	{"must be a number", "应为数"},
	{"must be one of %", "应为以下之一：%"},
	{"must have exactly one of % and %", "% 和 % 应恰好有一个"},
	{"must not be given together with %", "不能与 % 同时给出"},
	{"must be given once", "只能给出一次"},
	{"must be given, or GroupID, and not both", "与 GroupID 应恰好给出一个"},
	{"must be one", "只能有一个"},

	{"must have at least % characters", "至少要有 % 个字符"},
	{"must have at most % characters", "最多 % 个字符"},
	{"must have at least % elements", "至少要有 % 个元素"},
	{"must have at most % elements", "最多 % 个元素"},
	{"must have at most % fields", "最多 % 个字段"},
	{"must have at most % bytes", "最多 % 字节"},
	{"must have fields of at most % bytes", "每个字段最多 % 字节"},
	{"must have headers of at most % bytes", "每部分的头最多 % 字节"},

	{"must have 6 characters to 72 bytes", "至少 6 个字符，最多 72 字节"},
	{
		"must have no control characters, none that show nothing, and none that Unicode doesn't know",
		"不能含控制字符、不可见字符和 Unicode 未定义的字符",
	},
	{
		"must be 1 to 64 letters and digits of any script and `_ . - @`, the first a letter or digit, with or without a `+` before it; not `all`, which addresses everyone",
		"应为 1 到 64 个字符：任何文字的字母和数字以及 `_ . - @`，以字母或数字开头，前面可以有一个 `+`；不能是代表所有人的 `all`",
	},
	{"must show something, and hold no control characters and none that turn the direction of writing", "要有可见的字符，不能含控制字符和改变书写方向的字符"},
	{"must be another account; the owner leaves by leaveGroup", "应为其他账号；群主用 leaveGroup 退出"},
	{"must be the seq of a message of the conversation", "应为该会话中一条消息的 seq"},
	{"must be an account, percent-encoded UTF-8", "应为百分号编码的 UTF-8 账号"},
	{"must be an account", "应为账号"},
	{"must be `next` of the page before", "应为上一页的 `next`"},

	{"must be percent-encoded, with & between parameters", "应为百分号编码，参数之间用 & 分隔"},
	{"must be percent-encoded UTF-8", "应为百分号编码的 UTF-8"},
	{"must be identity, or missing", "应为 identity，或不给出"},
	{"must be application/json in UTF-8", "应为 UTF-8 的 application/json"},
	{"must be application/json", "应为 application/json"},
	{"must be multipart/form-data with a boundary", "应为带 boundary 的 multipart/form-data"},
	{"must be 0, or not there", "应为 0，或不给出"},
	{"must be 16 bytes in base64", "应为 base64 编码的 16 字节"},
	{"must be HTTP/1.1", "应为 HTTP/1.1"},
	{"must contain %", "应含 %"},
}

// otherProblem is said of a problem that the table doesn't have, which a test doesn't let happen.
const otherProblem = "不符合要求"

// ProblemIn returns the fault's Problem in a language, Chinese unless it is English.
func (f *Fault) ProblemIn(l Language) string {
	if l == English {
		return f.Problem
	}
	for _, p := range problems {
		if chinese, ok := p.translate(f.Problem); ok {
			return chinese
		}
	}
	return otherProblem
}

// translate returns the Chinese of a text that has this wording.
func (p problem) translate(text string) (string, bool) {
	out := p.chinese
	before, wording, more := strings.Cut(p.english, "%")
	rest, ok := strings.CutPrefix(text, before)
	for ok && more {
		var literal, value string
		literal, wording, more = strings.Cut(wording, "%")
		if !more && literal == "" {
			value, rest = rest, ""
		} else {
			value, rest, ok = strings.Cut(rest, literal)
		}
		head, tail, _ := strings.Cut(out, "%")
		out = head + strings.ReplaceAll(value, "%", "％") + tail
	}
	return out, ok && rest == ""
}
