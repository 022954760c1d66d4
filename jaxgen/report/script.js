// The charts of a report: zoom, hover, keyboard and log scale; and its theme and animation.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 52, right: 14, top: 18, bottom: 38 };
const HEIGHT = 260;
const MILLISECONDS = 300; // of a frame

function create(parent, name, attributes = {}, text = "") {
  const isSvg = parent.namespaceURI === SVG || name === "svg";
  const node = isSvg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  parent.appendChild(node);
  return node;
}

const short = (x) => String(Number(x.toPrecision(4)));

function linearTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high + 1e-9 * step; i++) ticks.push(i * step);
  return ticks;
}

function logTicks(low, high, count) {
  const ticks = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++)
    for (const m of [1, 2, 5]) {
      const x = m * 10 ** e;
      if (x >= low && x <= high) ticks.push(x);
    }
  return ticks.length < 2 ? linearTicks(low, high, count) : ticks;
}

function scale(low, high, from, to, isLog) {
  const f = isLog ? Math.log : (x) => x;
  const share = (x) => (f(x) - f(low)) / (f(high) - f(low));
  return (x) => from + share(x) * (to - from);
}

class Plot {
  constructor(figure) {
    this.data = JSON.parse(figure.querySelector("script").textContent);
    this.place = figure.querySelector(".plot");
    this.hidden = new Set();
    this.isLog = false;
    this.cursor = null;
    const all = this.data.lines.flatMap((line) => line.x);
    this.all = [...new Set(all)].sort((a, b) => a - b);
    this.legend();
    this.bar();
    this.svg = create(this.place, "svg", {
      tabindex: 0,
      role: "application",
      "aria-roledescription": "chart",
      "aria-label": `${this.data.title}. Arrow keys read values, plus and minus zoom, 0 resets.`,
    });
    this.tip = create(this.place, "p", { class: "tip", role: "status" });
    this.listen();
    this.reset();
    new ResizeObserver(() => this.draw()).observe(this.place);
  }

  legend() {
    const list = create(this.place, "div", { class: "legend", role: "group", "aria-label": "Lines" });
    for (const line of this.data.lines.filter((line) => line.style !== "thin")) {
      const button = create(list, "button", { type: "button", "aria-pressed": "true" });
      const swatch = create(button, "svg", { width: 26, height: 10, "aria-hidden": "true" });
      const look = { class: `line c${line.color % 6} ${line.style}` };
      if (line.style === "points") create(swatch, "circle", { cx: 13, cy: 5, r: 3, ...look });
      else create(swatch, "path", { d: "M0 5H26", ...look });
      create(button, "span", {}, line.name);
      button.addEventListener("click", () => {
        if (!this.hidden.delete(line)) this.hidden.add(line);
        button.setAttribute("aria-pressed", String(!this.hidden.has(line)));
        this.draw();
      });
    }
  }

  bar() {
    const bar = create(this.place, "div", { class: "bar", role: "group", "aria-label": "View" });
    const add = (text, action) => {
      const button = create(bar, "button", { type: "button" }, text);
      button.addEventListener("click", () => action(button));
      return button;
    };
    add("Zoom in", () => this.zoom(0.5));
    add("Zoom out", () => this.zoom(2));
    add("Reset", () => this.reset());
    const log = add("Log scale", () => {
      this.isLog = !this.isLog;
      log.setAttribute("aria-pressed", String(this.isLog));
      this.draw();
    });
    log.setAttribute("aria-pressed", "false");
  }

  listen() {
    let start = null;
    const at = (event) => event.clientX - this.svg.getBoundingClientRect().left;
    this.svg.addEventListener("pointerdown", (event) => {
      start = at(event);
      this.svg.setPointerCapture(event.pointerId);
    });
    this.svg.addEventListener("pointermove", (event) => {
      this.point(this.nearest(this.value(at(event))));
      this.select(start, at(event));
    });
    this.svg.addEventListener("pointerup", (event) => {
      const end = at(event);
      if (start !== null && Math.abs(end - start) > 8)
        this.show(...[start, end].map((place) => this.value(place)).sort((a, b) => a - b));
      start = null;
      this.select(null);
    });
    this.svg.addEventListener("pointercancel", () => {
      start = null;
      this.select(null);
    });
    this.svg.addEventListener("pointerleave", () => start === null && this.point(null));
    this.svg.addEventListener("blur", () => this.point(null));
    this.svg.addEventListener("keydown", (event) => {
      const visible = this.all.filter((x) => x >= this.low && x <= this.high);
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (move && visible.length) {
        const now = visible.indexOf(this.cursor);
        const next = now < 0 ? (move > 0 ? 0 : visible.length - 1) : now + move;
        this.point(visible[Math.max(0, Math.min(visible.length - 1, next))]);
      } else if (event.key === "+" || event.key === "=") this.zoom(0.5);
      else if (event.key === "-") this.zoom(2);
      else if (event.key === "0") this.reset();
      else return;
      event.preventDefault();
    });
  }

  reset() {
    this.show(this.all[0] ?? 0, this.all[this.all.length - 1] ?? 1);
  }

  show(low, high) {
    if (!(high > low)) [low, high] = this.data.log_x ? [low / 2, low * 2] : [low - 0.5, low + 0.5];
    [this.low, this.high] = [low, high];
    this.draw();
  }

  zoom(factor) {
    const f = this.data.log_x ? Math.log : (x) => x;
    const g = this.data.log_x ? Math.exp : (x) => x;
    const [first, last] = [f(this.all[0]), f(this.all[this.all.length - 1])];
    const [low, high] = [f(this.low), f(this.high)];
    const middle = this.cursor === null ? (low + high) / 2 : f(this.cursor);
    const half = (factor * (high - low)) / 2;
    const [from, to] = [Math.max(first, middle - half), Math.min(last, middle + half)];
    if (to > from) this.show(g(from), g(to));
  }

  value(place) {
    const { left, right } = MARGIN;
    const f = this.data.log_x ? Math.log : (x) => x;
    const g = this.data.log_x ? Math.exp : (x) => x;
    const share = (place - left) / (this.width - left - right);
    const [low, high] = [f(this.low), f(this.high)];
    return g(low + Math.max(0, Math.min(1, share)) * (high - low));
  }

  nearest(x) {
    const visible = this.all.filter((other) => other >= this.low && other <= this.high);
    const distance = (other) => Math.abs(this.x(other) - this.x(x));
    return visible.length
      ? visible.reduce((best, other) => (distance(other) < distance(best) ? other : best))
      : null;
  }

  lines() {
    return this.data.lines.filter((line) => {
      const key = [...this.hidden].some(
        (hidden) => hidden === line || (line.style === "thin" && line.name.startsWith(`${hidden.name}, `))
      );
      return !key;
    });
  }

  range() {
    let [low, high] = [Infinity, -Infinity];
    for (const line of this.lines())
      line.y.forEach((y, i) => {
        if (y === null || line.x[i] < this.low || line.x[i] > this.high) return;
        const spread = line.spread?.[i] ?? 0;
        for (const edge of [y, y - spread, y + spread]) {
          if (this.isLog && edge <= 0) continue;
          low = Math.min(low, edge);
          high = Math.max(high, edge);
        }
      });
    if (!(low <= high)) return this.isLog ? [0.1, 1] : [0, 1];
    if (this.isLog) return low < high ? [low / 1.05, high * 1.05] : [low / 2, high * 2];
    const pad = 0.05 * (high - low) || 0.1 * Math.abs(high) || 1;
    return [low - pad, high + pad];
  }

  draw() {
    this.width = this.place.clientWidth;
    if (!this.width) return;
    const { left, right, top, bottom } = MARGIN;
    const [width, height] = [this.width, HEIGHT];
    const [low, high] = this.range();
    this.x = scale(this.low, this.high, left, width - right, this.data.log_x);
    this.y = scale(low, high, height - bottom, top, this.isLog);
    const svg = this.svg;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const count = Math.max(2, Math.floor(width / 90));
    const xTicks = this.data.log_x
      ? logTicks(this.low, this.high, count)
      : linearTicks(this.low, this.high, count).filter((x) => this.data.xlabel !== "epoch" || Number.isInteger(x));
    for (const x of xTicks) {
      const at = this.x(x);
      create(svg, "path", { class: "rule", d: `M${at} ${top}V${height - bottom}` });
      create(svg, "text", { x: at, y: height - bottom + 16, "text-anchor": "middle" }, short(x));
    }
    for (const y of this.isLog ? logTicks(low, high, 8) : linearTicks(low, high, 8)) {
      const at = this.y(y);
      create(svg, "path", { class: "rule", d: `M${left} ${at}H${width - right}` });
      create(svg, "text", { x: left - 6, y: at + 4, "text-anchor": "end" }, short(y));
    }
    create(svg, "text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, this.data.xlabel);
    const id = `clip-${Plot.count++}`;
    const clip = create(create(svg, "defs"), "clipPath", { id });
    create(clip, "rect", { x: left - 4, y: top - 4, width: width - left - right + 8, height: height - top - bottom + 8 });
    const inside = create(svg, "g", { "clip-path": `url(#${id})` });
    for (const line of this.lines()) this.drawLine(inside, line);
    const mark = this.data.mark;
    if (mark !== null && mark >= this.low && mark <= this.high) {
      const at = this.x(mark);
      create(svg, "path", { class: "mark", d: `M${at} ${top}V${height - bottom}` });
      const anchor = at > width / 2 ? "end" : "start";
      const label = `${this.data.mark_name} ${short(mark)}`;
      create(svg, "text", { x: at + (anchor === "end" ? 2 : -2), y: top - 6, "text-anchor": anchor }, label);
    }
    this.hand = create(svg, "g");
    this.selection = create(svg, "rect", { class: "selection", y: top, height: height - top - bottom, width: 0 });
    this.point(this.cursor);
  }

  drawLine(parent, line) {
    const valid = (y) => y !== null && (!this.isLog || y > 0);
    const look = `c${line.color % 6} ${line.style}`;
    const xy = line.x.map((x, i) => (valid(line.y[i]) ? [this.x(x), this.y(line.y[i])] : null));
    if (line.spread) {
      const edge = (i, sign) => {
        const y = line.y[i] + sign * (line.spread[i] ?? 0);
        return `${this.x(line.x[i])} ${this.y(this.isLog && y <= 0 ? line.y[i] : y)}`;
      };
      const places = xy.flatMap((point, i) => (point ? [i] : []));
      const around = [...places.map((i) => edge(i, 1)), ...places.reverse().map((i) => edge(i, -1))];
      if (around.length) create(parent, "path", { class: `band ${look}`, d: `M${around.join("L")}Z` });
    }
    if (line.style !== "points") {
      const d = xy.map((point, i) => (point ? `${xy[i - 1] ? "L" : "M"}${point.join(" ")}` : "")).join("");
      if (d) create(parent, "path", { class: `line ${look}`, d });
    }
    const inView = xy.filter((point) => point && point[0] >= 0 && point[0] <= this.width);
    if (line.style === "points" || (line.style !== "thin" && inView.length <= 40))
      for (const [x, y] of inView) create(parent, "circle", { class: `dot ${look}`, cx: x, cy: y, r: 2.5 });
  }

  select(from, to) {
    if (!this.selection) return;
    this.selection.setAttribute("x", Math.min(from ?? 0, to ?? 0));
    this.selection.setAttribute("width", from === null ? 0 : Math.abs(to - from));
  }

  point(x) {
    this.cursor = x !== null && x >= this.low && x <= this.high ? x : null;
    this.hand?.replaceChildren();
    if (this.cursor === null) {
      this.tip.textContent = "Point at the chart for values; drag across it to zoom.";
      return;
    }
    const at = this.x(x);
    create(this.hand, "path", { class: "cursor", d: `M${at} ${MARGIN.top}V${HEIGHT - MARGIN.bottom}` });
    const parts = this.lines()
      .filter((line) => line.style !== "thin" && line.style !== "points")
      .flatMap((line) => {
        const i = line.x.indexOf(x);
        if (i < 0 || line.y[i] === null) return [];
        const spread = line.spread ? ` ± ${Number((line.spread[i] ?? 0).toPrecision(2))}` : "";
        return [`${line.name}: ${short(line.y[i])}${spread}`];
      });
    this.tip.textContent = `${this.data.xlabel} ${short(x)}; ${parts.join("; ") || "no value"}`;
  }
}
Plot.count = 0;

for (const figure of document.querySelectorAll("figure.chart")) new Plot(figure);

for (const film of document.querySelectorAll("figure.film")) {
  const images = [...film.querySelectorAll("img")];
  if (images.length === 1) continue;
  const [name, controls] = [film.querySelector("figcaption span"), film.querySelector(".controls")];
  const [play, slider] = controls.children;
  let timer = null;
  const show = () => {
    images.forEach((image, i) => (image.hidden = i !== Number(slider.value)));
    name.textContent = images[slider.value].dataset.name;
    slider.setAttribute("aria-valuetext", name.textContent);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const next = () => {
    slider.value++;
    show();
    if (slider.value === slider.max) stop();
  };
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    if (slider.value === slider.max) slider.value = 0;
    show();
    timer = setInterval(next, MILLISECONDS);
    play.textContent = "Pause";
  });
  slider.addEventListener("input", () => {
    stop();
    show();
  });
  controls.hidden = false;
  film.classList.add("live");
  show();
}

const theme = document.querySelector("#theme");
const isDark = () => {
  const chosen = document.documentElement.style.colorScheme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
theme.hidden = false;
theme.addEventListener("click", () => {
  document.documentElement.style.colorScheme = isDark() ? "light" : "dark";
});
