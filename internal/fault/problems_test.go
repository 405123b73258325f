package fault_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tim/internal/account"
	"tim/internal/fault"
	"tim/internal/schema"
)

const unknownProblem = "不符合要求"

func inChinese(problem string) string {
	return fault.Invalid(fault.InvalidBody, "x", problem).ProblemIn(fault.Chinese)
}

func TestProblemsInBothLanguages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ english, chinese string }{
		{schema.Integer(-5, 150), "应为 -5 到 150 的整数"},
		{schema.Real(-90, 90.5), "应为 -90 到 90.5 的数"},
		{schema.TooShort(1), "不能为空"},
		{schema.TooShort(2), "至少要有 2 个字符"},
		{schema.TooLong(100), "最多 100 个字符"},
		{schema.TooFew(1), "至少要有 1 个元素"},
		{schema.TooMany(1000), "最多 1000 个元素"},
		{schema.OneOf("male", "female"), "应为以下之一：male, female"},
		{schema.OneOf("100%", "%"), "应为以下之一：100％, ％"},
		{schema.ExactlyOne("user", "group"), "user 和 group 应恰好有一个"},
		{schema.NotWith("after"), "不能与 after 同时给出"},
		{schema.NoJSON(7), "从第 7 个字节起不是 JSON"},
		{schema.AnyInteger(), "应为整数"},
		{schema.AnyReal(), "应为数"},
		{"must be " + account.NewForm, inChinese(schema.Described(account.NewForm + "."))},
		{"must " + account.NewNameForm, "要有可见的字符，不能含控制字符和改变书写方向的字符"},
		{"must have at most  bytes of something else", unknownProblem},
		{"", unknownProblem},
	} {
		if got := inChinese(tt.english); got != tt.chinese {
			t.Errorf("%q: %q, want %q", tt.english, got, tt.chinese)
		}
		if got := fault.Invalid(fault.InvalidBody, "x", tt.english).ProblemIn(fault.English); got != tt.english {
			t.Errorf("%q in English: %q", tt.english, got)
		}
	}
	if got := inChinese("must be " + account.NewForm); got == unknownProblem {
		t.Error("the form of an account has no Chinese")
	}
}

// TestEveryProblemHasItsChinese looks for the wordings in the source: a problem with a new one must get its Chinese.
func TestEveryProblemHasItsChinese(t *testing.T) {
	t.Parallel()
	// These tell operators something, or end in a name that other tests have.
	elsewhere := regexp.MustCompile(`internal/(app/settings|tools|check|bench|client|apptest|testserver|deploy)|internal/auth/weakkey|fault/problems\.go`)
	verb := regexp.MustCompile(`%[dvsq]`)
	found := 0
	for _, folder := range []string{"../../internal", "../../gen/bodies"} {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || elsewhere.MatchString(filepath.ToSlash(path)) {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				for _, text := range problemsIn(n) {
					found++
					if got := inChinese(verb.ReplaceAllString(text, "7")); got == unknownProblem {
						t.Errorf("%s: %q has no Chinese", path, text)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 45 {
		t.Errorf("only %d wordings were found", found)
	}
}

// problemsIn returns what a piece of source says to be a problem: a text with such a beginning, or the argument of a function of
// package schema that makes one.
func problemsIn(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(n.Value)
		begins := strings.HasPrefix(text, "must ") || strings.HasPrefix(text, "is missing") || strings.HasPrefix(text, "is no")
		if err == nil && begins && !strings.HasSuffix(text, " ") {
			return []string{text}
		}
	case *ast.CallExpr:
		of, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || len(n.Args) != 1 || of.Sel.Name != "Must" && of.Sel.Name != "Described" {
			return nil
		}
		if literal, ok := n.Args[0].(*ast.BasicLit); ok {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				return []string{schema.Described(text)}
			}
		}
	}
	return nil
}

// FuzzProblems asks for the Chinese of anything: there always is one, without a letter of the wording.
func FuzzProblems(f *testing.F) {
	for _, seed := range []string{schema.Integer(1, 2), schema.ExactlyOne("a", "b"), "must be one of %", "must have exactly one of % and ", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := inChinese(text); got == "" || strings.Contains(got, "must") && strings.Count(text, "must") < 2 {
			t.Errorf("%q became %q", text, got)
		}
	})
}
