package bench

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// chart is lines over two axes. With log the upright axis is logarithmic, for latencies of several decades.
type chart struct {
	title, across, upright string // the axes with their units
	log                    bool
	lines                  []line
}

type line struct {
	name   string
	points []point
}

type point struct{ x, y float64 }

// plot returns the chart of the scenario: memory against sockets, or latency against throughput.
func (r *Report) plot() chart {
	if len(r.Runs) == 1 && len(r.Runs[0].Samples) > 0 {
		c := chart{title: "Memory against sockets, on " + r.On, across: "sockets", upright: "memory of the servers' processes, MB"}
		l := line{name: "resident memory"}
		for _, s := range r.Runs[0].Samples {
			l.points = append(l.points, point{float64(s.Sockets), mb(s.RSS)})
		}
		c.lines = []line{l}
		return c
	}
	c := chart{title: "Throughput against latency, " + r.Scenario + ", on " + r.On, across: "per second", upright: "latency, ms", log: true}
	for _, what := range []kind{acknowledged, delivered} {
		p50, p99 := line{name: what.String() + ", p50"}, line{name: what.String() + ", p99"}
		for _, run := range r.Runs {
			c.across = plural(run.Unit) + " a second"
			for _, l := range run.Latencies {
				if l.What == what.String() {
					p50.points = append(p50.points, point{run.PerSecond, float64(l.P50) / 1000})
					p99.points = append(p99.points, point{run.PerSecond, float64(l.P99) / 1000})
				}
			}
		}
		c.lines = append(c.lines, p50, p99)
	}
	return c
}

// The size of the picture and its margins.
const (
	plotWidth, plotHeight = 760, 460
	plotLeft, plotRight   = 80, 20
	plotTop, plotBottom   = 50, 110
)

// axis maps values to coordinates of the picture.
type axis struct {
	low, high float64
	from, to  float64
	log       bool
}

func (a axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		low, high, v = math.Log10(low), math.Log10(high), math.Log10(v)
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// newAxis returns an axis from 0, or from a power of ten, to a round number that is at least the highest value.
func newAxis(values []float64, log bool, from, to float64) axis {
	low, high := math.Inf(1), 0.0
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if high <= 0 {
		low, high = 1, 1
	}
	if log {
		low = math.Pow(10, math.Floor(math.Log10(max(low, 1e-3))))
		return axis{low, max(low*10, math.Pow(10, math.Ceil(math.Log10(high)))), from, to, true}
	}
	step := roundStep(high / 5)
	return axis{0, math.Ceil(high/step) * step, from, to, false}
}

// roundStep returns the smallest of 1, 2 and 5 times a power of ten that is at least v.
func roundStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if n*power >= v*(1-1e-9) {
			return n * power
		}
	}
	return 10 * power
}

func (a axis) ticks() (ticks []float64) {
	if a.log {
		for v := a.low; v <= a.high*1.001; v *= 10 {
			ticks = append(ticks, v)
		}
		return ticks
	}
	step := roundStep(a.high / 6)
	for i := 0; float64(i)*step <= a.high*1.001; i++ {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}

// plotStyle reads well on a light page and on a dark one.
const plotStyle = `
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .grid { stroke: #8884; stroke-width: 1 }
  .axis { stroke: #888; stroke-width: 1.5 }
  .line, circle { fill: none; stroke-width: 2 }
  .c0 { stroke: #0969da } .c1 { stroke: #bc4c00 } .c2 { stroke: #1a7f37 } .c3 { stroke: #8250df }
  .dash { stroke-dasharray: 6 4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .c0 { stroke: #58a6ff } .c1 { stroke: #f0883e } .c2 { stroke: #3fb950 } .c3 { stroke: #bc8cff }
  }
`

func (c chart) svg() string {
	var xs, ys []float64
	for _, l := range c.lines {
		for _, p := range l.points {
			xs, ys = append(xs, p.x), append(ys, p.y)
		}
	}
	across := newAxis(xs, false, plotLeft, plotWidth-plotRight)
	upright := newAxis(ys, c.log, plotHeight-plotBottom, plotTop)

	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, plotHeight, escaped(c.title))
	fmt.Fprintf(&out, "\n<style>%s</style>\n", plotStyle)
	write(&out, "middle", plotWidth/2, 26, "title", c.title)
	for _, v := range across.ticks() {
		x := across.at(v)
		fmt.Fprintf(&out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", x, x, plotTop, plotHeight-plotBottom)
		write(&out, "middle", x, plotHeight-plotBottom+20, "", number3(v))
	}
	for _, v := range upright.ticks() {
		y := upright.at(v)
		fmt.Fprintf(&out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", plotLeft, plotWidth-plotRight, y, y)
		write(&out, "end", plotLeft-8, y+4, "", number3(v))
	}
	fmt.Fprintf(&out, "<polyline class=\"line axis\" points=\"%d,%d %d,%d %d,%d\"/>\n", plotLeft, plotTop, plotLeft, plotHeight-plotBottom,
		plotWidth-plotRight, plotHeight-plotBottom)
	write(&out, "middle", (plotLeft+plotWidth-plotRight)/2, plotHeight-plotBottom+42, "", c.across)
	middle := (plotTop + plotHeight - plotBottom) / 2
	fmt.Fprintf(&out, "<g transform=\"translate(18 %d) rotate(-90)\">", middle)
	write(&out, "middle", 0, 0, "", c.upright)
	out.WriteString("</g>\n")
	c.draw(&out, across, upright)
	out.WriteString("</svg>\n")
	return out.String()
}

// draw draws the lines and their legend. Every second line is dashed, for readers who can't tell the colours apart.
func (c chart) draw(out *strings.Builder, across, upright axis) {
	for i, l := range c.lines {
		class := fmt.Sprintf("line c%d", i%4)
		if i%2 == 1 {
			class += " dash"
		}
		fmt.Fprintf(out, "<polyline class=\"%s\" points=\"", class)
		for j, p := range l.points {
			if j > 0 {
				out.WriteByte(' ')
			}
			fmt.Fprintf(out, "%.1f,%.1f", across.at(p.x), upright.at(max(p.y, upright.low)))
		}
		out.WriteString("\"/>\n")
		for _, p := range l.points {
			fmt.Fprintf(out, "<circle class=\"c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", i%4, across.at(p.x), upright.at(max(p.y, upright.low)))
		}
		x, y := plotLeft+i%2*330, plotHeight-40+i/2*22
		fmt.Fprintf(out, "<line class=\"%s\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", class, x, x+36, y-4, y-4)
		write(out, "start", float64(x+44), float64(y), "", l.name)
	}
}

func write(out *strings.Builder, anchor string, x, y float64, class, text string) {
	fmt.Fprintf(out, "<text text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\" class=\"%s\">%s</text>\n", anchor, x, y, class, escaped(text))
}

// number3 formats a number with a space between thousands.
func number3(v float64) string {
	s := fmt.Sprintf("%.6g", v)
	whole, fraction, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + " " + whole[i:]
	}
	if fraction != "" {
		return whole + "." + fraction
	}
	return whole
}

func escaped(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a Builder has no errors
	return out.String()
}
