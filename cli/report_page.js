"use strict";
/* Draws the report from the data beside it. Times are nanoseconds of virtual time. */
let errors = 0;
window.addEventListener("error", () => {
    document.body.dataset.errors = ++errors;
});

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name);
const LABELS = 130, LANE = 16, ROW = 18;
const IDLE = 0, KERNEL = 1, USER = 2;

function make(tag, text, parent) {
    const node = document.createElement(tag);
    if (text !== undefined)
        node.textContent = text;
    if (parent)
        parent.append(node);
    return node;
}

function spoken(ns) {
    if (ns >= 1e9)
        return (ns / 1e9).toFixed(6) + " s";
    if (ns >= 1e6)
        return (ns / 1e6).toFixed(3) + " ms";
    return (ns / 1e3).toFixed(3) + " us";
}

/* ---- The run ---- */

const count = data.times.length;
const time = new Float64Array(count + 1);
for (let i = 0, now = 0; i < count; i++)
    time[i] = now += data.times[i];
const endTime = Math.max(data.end.time, count ? time[count - 1] : 0, 1);
time[count] = endTime;
const siteOf = Uint16Array.from(data.eventSites, (site) => Math.min(site, data.otherSite));
const sites = data.sites.map(([kind, address, size, device, hits]) => ({kind, address, size, device, hits}));

/* The first index of a sorted array whose value is at least `value`. */
function lower(sorted, value) {
    let low = 0, high = sorted.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (sorted[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const indexOf = (event) => Math.min(Math.max(event - data.firstEvent, 0), Math.max(count - 1, 0));
const timeOf = (event) => time[indexOf(event)];

function siteName(site) {
    if (site.kind === "interrupt")
        return "interrupt " + site.address;
    const at = /^(pio|mmio|msr)/.test(site.kind) ? " 0x" + site.address.toString(16) : "";
    return site.kind + at + (site.device ? " " + site.device : "");
}

/* ---- Lanes ---- */

/* What each vCPU did: changes of state, and how long each state had lasted before each change. */
function vcpuLanes() {
    const lanes = [];
    const lane = (vcpu) => lanes[vcpu] ??= {name: "vCPU " + vcpu, from: [0], state: [IDLE], space: [0]};
    const change = (vcpu, at, state, space) => {
        const it = lane(vcpu), last = it.from.length - 1;
        if (it.state[last] === state && it.space[last] === space)
            return;
        it.from.push(at);
        it.state.push(state);
        it.space.push(space);
    };
    const ring = [], space = [];
    let turn = 0, place = 0, now = 0;
    const take = () => {
        const [, at, vcpu, level, number] = data.spaces[place++];
        ring[vcpu] = level;
        space[vcpu] = number;
        return [vcpu, at, level === 3 ? USER : KERNEL, number];
    };
    for (let i = 0; i < count; i++) {
        const event = data.firstEvent + i;
        while (place < data.spaces.length && data.spaces[place][1] < time[i])
            change(...take());
        while (turn < data.turns.length && data.turns[turn][0] <= event) {
            const next = data.turns[turn++][1];
            if (next !== now)
                change(now, time[i], IDLE, 0);
            now = next;
        }
        while (place < data.spaces.length && data.spaces[place][0] <= event && data.spaces[place][1] <= time[i])
            take();
        const halted = sites[siteOf[i]].kind === "hlt";
        change(now, time[i], halted ? IDLE : ring[now] === 3 ? USER : KERNEL, space[now] ?? 0);
    }
    const found = lanes.filter(Boolean);
    for (const it of found) {
        const total = it.from.length;
        it.lasted = [KERNEL, USER].map(() => new Float64Array(total + 1));
        for (let i = 0; i < total; i++) {
            const until = i + 1 < total ? it.from[i + 1] : endTime;
            for (const state of [KERNEL, USER])
                it.lasted[state - 1][i + 1] = it.lasted[state - 1][i] + (it.state[i] === state ? until - it.from[i] : 0);
        }
        it.from = Float64Array.from(it.from);
        it.draw = drawStates;
    }
    return found;
}

/* Events gathered by a name, each lane with its times. */
function tickLanes(most, nameOf, hue) {
    const names = sites.map(nameOf), totals = new Map();
    sites.forEach((site, i) => names[i] && site.hits && totals.set(names[i], (totals.get(names[i]) ?? 0) + site.hits));
    const kept = [...totals].sort((a, b) => b[1] - a[1]).slice(0, most).map(([name]) => name).sort(
        (a, b) => a.localeCompare(b, "en", {numeric: true}));
    const lists = new Map(kept.map((name) => [name, []]));
    for (let i = 0; i < count; i++)
        lists.get(names[siteOf[i]])?.push(time[i]);
    return kept.map((name) => ({name, times: Float64Array.from(lists.get(name)), hue, draw: drawTicks}));
}

function rowLane(name, rows, hue) {
    return {name, times: Float64Array.from(rows, (row) => row[1]).sort(), hue, draw: drawTicks};
}

/* Which address space runs in ring 3, each in a color of its own. */
function drawSpaces(context, lane, top, width) {
    const step = (view.to - view.from) / width;
    for (let x = 0; x < width; x++) {
        const from = view.from + x * step;
        let best = -1, longest = 0;
        const last = Math.min(lower(lane.from, from + step), lane.from.length);
        for (let i = Math.max(lower(lane.from, from) - 1, 0), looked = 0; i < last && looked < 50; i++, looked++) {
            const until = i + 1 < lane.from.length ? lane.from[i + 1] : endTime;
            const share = Math.min(until, from + step) - Math.max(lane.from[i], from);
            if (lane.state[i] === USER && share > longest) {
                longest = share;
                best = lane.space[i];
            }
        }
        if (best < 0)
            continue;
        context.fillStyle = `hsl(${best * 137 % 360} 60% 50%)`;
        context.fillRect(LABELS + x, top + 2, 1, LANE - 4);
    }
}

/* Which task the kernel had given each vCPU to: [time, name] in order. */
function taskLanes() {
    const found = new Map();
    for (const row of data.switches?.rows ?? []) {
        const lane = found.get(row.vcpu) ?? found.set(row.vcpu,
            {name: `vCPU ${row.vcpu} tasks`, from: [0], task: [row.process], draw: drawTasks}).get(row.vcpu);
        lane.from.push(row.time);
        lane.task.push(row.to);
    }
    return [...found.values()].map((lane) => ({...lane, from: Float64Array.from(lane.from)}));
}

const isIdle = (task) => /^0 /.test(task);

function hueOf(name) {
    let sum = 0;
    for (const letter of name)
        sum = (sum * 31 + letter.charCodeAt(0)) % 3600;
    return sum % 360;
}

/* The task that had most of each column; its name where it fits. */
function drawTasks(context, lane, top, width) {
    const step = (view.to - view.from) / width;
    let begun = 0, before = "";
    const label = (x) => {
        const name = before.replace(/^\d+ /, "");
        if (before && !isIdle(before) && x - begun > context.measureText(name).width + 8) {
            context.fillStyle = "#fff";
            context.fillText(name, LABELS + begun + 4, top + 12);
        }
    };
    for (let x = 0; x < width; x++) {
        const from = view.from + x * step, last = Math.min(lower(lane.from, from + step), lane.from.length);
        let best = "", longest = 0;
        for (let i = Math.max(lower(lane.from, from) - 1, 0), looked = 0; i < last && looked < 50; i++, looked++) {
            const until = i + 1 < lane.from.length ? lane.from[i + 1] : endTime;
            const share = (Math.min(until, from + step) - Math.max(lane.from[i], from)) * (isIdle(lane.task[i]) ? 0.2 : 1);
            if (share > longest) {
                longest = share;
                best = lane.task[i];
            }
        }
        if (best !== before) {
            label(x);
            begun = x;
            before = best;
        }
        if (!best || isIdle(best))
            continue;
        context.fillStyle = `hsl(${hueOf(best)} 55% 42%)`;
        context.fillRect(LABELS + x, top + 1, 1, LANE - 2);
    }
    label(width);
}

const lanes = vcpuLanes();
if (data.switches) {
    lanes.push(...taskLanes());
} else {
    for (const it of lanes.filter((lane) => lane.state.includes(USER)))
        lanes.push({...it, name: it.name + " processes", draw: drawSpaces});
}
const calls = data.syscalls?.rows ?? [];
if (calls.length)
    lanes.push(rowLane("system calls", calls.map((row) => [0, row.time]), "user"));
const races = data.conflicts?.rows ?? [];
if (races.length)
    lanes.push(rowLane("races", races.map((row) => [0, row.time]), "mark"));
lanes.push(...tickLanes(24, (site) => site.kind === "interrupt" ? "interrupt " + site.address : "", "tick"));
lanes.push(...tickLanes(20, (site) => site.device, "tick"));
const requests = new Map();
for (const row of data.disk) {
    const key = "disk" + row[2] + (row[3] === 0 ? " reads" : row[3] === 1 ? " writes" : " flushes");
    (requests.get(key) ?? requests.set(key, []).get(key)).push(row);
}
for (const [name, rows] of [...requests].sort())
    lanes.push(rowLane(name, rows, name.endsWith("reads") ? "read" : "write"));
const received = data.frames.filter((row) => row[3]), sent = data.frames.filter((row) => !row[3]);
if (sent.length)
    lanes.push(rowLane("frames sent", sent, "write"));
if (received.length)
    lanes.push(rowLane("frames received", received, "read"));
if (data.console.length)
    lanes.push(rowLane("console", data.console, "tick"));
if (data.marks.length)
    lanes.push(rowLane("marks", data.marks, "mark"));

/* ---- Drawing ---- */

const view = {from: 0, to: endTime};
let picked = null;

function drawTicks(context, lane, top, width) {
    const step = (view.to - view.from) / width;
    context.fillStyle = color(lane.hue);
    let at = lower(lane.times, view.from);
    for (let x = 0; x < width && at < lane.times.length; x++) {
        const next = lower(lane.times, view.from + (x + 1) * step);
        if (next > at) {
            context.globalAlpha = Math.min(1, 0.35 + 0.2 * Math.log2(next - at + 1));
            context.fillRect(LABELS + x, top + 2, lane.hue === "mark" ? 2 : 1, LANE - 4);
        }
        at = next;
    }
    context.globalAlpha = 1;
}

/* How long a state had lasted at a time. */
function lastedAt(lane, state, at) {
    const i = Math.max(lower(lane.from, at) - 1, 0), sums = lane.lasted[state - 1];
    const until = i + 1 < lane.from.length ? lane.from[i + 1] : endTime;
    return sums[i] + (lane.state[i] === state ? Math.min(at, until) - Math.min(lane.from[i], at) : 0);
}

function drawStates(context, lane, top, width) {
    const step = (view.to - view.from) / width;
    for (let x = 0; x < width; x++) {
        const from = view.from + x * step;
        const user = (lastedAt(lane, USER, from + step) - lastedAt(lane, USER, from)) / step;
        const kernel = (lastedAt(lane, KERNEL, from + step) - lastedAt(lane, KERNEL, from)) / step;
        const high = LANE - 2;
        context.fillStyle = color("user");
        context.fillRect(LABELS + x, top + 1 + high * (1 - user), 1, high * user);
        context.fillStyle = color("kernel");
        context.fillRect(LABELS + x, top + 1 + high * (1 - user - kernel), 1, high * kernel);
    }
}

/* A canvas of this height, sharp on this screen; its width in CSS pixels. */
function prepare(canvas, height) {
    const width = Math.max(canvas.clientWidth, 300), scale = window.devicePixelRatio || 1;
    canvas.style.height = height + "px";
    canvas.width = width * scale;
    canvas.height = height * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.font = "11px system-ui, sans-serif";
    context.clearRect(0, 0, width, height);
    return [context, width];
}

const xOf = (at, width) => LABELS + (at - view.from) / (view.to - view.from) * width;

function upright(context, at, width, height, hue, text) {
    if (at < view.from || at > view.to)
        return;
    const x = Math.round(xOf(at, width)) + 0.5;
    context.strokeStyle = context.fillStyle = color(hue);
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, height);
    context.stroke();
    if (text) {
        const long = context.measureText(text).width, left = Math.min(x + 4, LABELS + width - long);
        context.fillStyle = color("back");
        context.fillRect(left - 2, height - 14, long + 4, 13);
        context.fillStyle = color(hue);
        context.fillText(text, left, height - 4);
    }
}

function drawRuler(context, width, height) {
    const span = view.to - view.from;
    let step = 10 ** Math.floor(Math.log10(span / 6));
    step *= span / step > 30 ? 5 : span / step > 12 ? 2 : 1;
    context.fillStyle = color("soft");
    context.strokeStyle = color("line");
    for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
        const x = Math.round(xOf(at, width)) + 0.5;
        context.beginPath();
        context.moveTo(x, 14);
        context.lineTo(x, height);
        context.stroke();
        context.fillText(spoken(at), x + 3, 11);
    }
}

function drawLanes() {
    const height = 18 + lanes.length * LANE + (data.against ? LANE : 0);
    const [context, all] = prepare(element("lanes"), height), width = all - LABELS;
    drawRuler(context, width, height);
    lanes.forEach((lane, i) => {
        const top = 18 + i * LANE;
        context.fillStyle = color("soft");
        context.fillText(lane.name, 2, top + 12, LABELS - 6);
        lane.draw(context, lane, top, width);
    });
    if (data.against?.event)
        upright(context, timeOf(data.against.event), width, height, "part", "parts from " + data.against.name);
    if (picked !== null)
        upright(context, picked, width, height, "pick");
}

function drawMap() {
    const [context, all] = prepare(element("map"), 26), width = all - LABELS;
    context.fillStyle = color("soft");
    context.fillText("all events", 2, 16);
    context.fillStyle = color("tick");
    let at = 0, most = 1;
    const bins = new Float64Array(Math.max(Math.floor(width), 1));
    for (let x = 0; x < bins.length; x++) {
        const next = lower(time, (x + 1) / bins.length * endTime);
        bins[x] = next - at;
        most = Math.max(most, bins[x]);
        at = next;
    }
    bins.forEach((value, x) => {
        const high = value ? 2 + 20 * Math.log2(value + 1) / Math.log2(most + 1) : 0;
        context.fillRect(LABELS + x, 25 - high, 1, high);
    });
    context.fillStyle = color("mark");
    for (const row of data.marks)
        context.fillRect(LABELS + row[1] / endTime * width, 0, 2, 25);
    context.strokeStyle = color("pick");
    context.strokeRect(LABELS + view.from / endTime * width + 0.5, 0.5,
        Math.max((view.to - view.from) / endTime * width, 2), 25);
}

/* ---- Disks: time to the right, place upwards; an array's members by stripe ---- */

function heatBands() {
    const bands = [], disks = new Set(data.disk.map((row) => row[2]));
    for (const row of data.members)
        disks.add(row[2]);
    for (const disk of [...disks].sort()) {
        const members = data.members.filter((row) => row[2] === disk && row[5] <= 1);
        const numbers = [...new Set(members.map((row) => row[3]))].sort();
        if (numbers.length > 1) {
            for (const number of numbers)
                bands.push({name: `disk${disk} member ${number}`, unit: "stripe",
                    points: members.filter((row) => row[3] === number).map((row) => ({at: row[1],
                        place: row[8], write: row[4] !== 0, event: row[0], failed: row[9],
                        text: `${row[4] ? "writes" : "reads"} ${row[7]} sectors at LBA ${row[6]}, stripe ${row[8]}${
                            row[5] ? ", parity" : ""}${row[9] ? ": failed" : ""}`}))});
        } else {
            bands.push({name: "disk" + disk, unit: "sector",
                points: data.disk.filter((row) => row[2] === disk && row[3] !== 2).map((row) => ({at: row[1],
                    place: row[4], write: row[3] !== 0, event: row[0],
                    text: `${row[3] ? "writes" : "reads"} ${row[5]} sectors at LBA ${row[4]}`}))});
        }
    }
    for (const band of bands) {
        band.points.sort((a, b) => a.at - b.at);
        band.times = Float64Array.from(band.points, (point) => point.at);
        band.most = band.points.reduce((most, point) => Math.max(most, point.place), 1);
    }
    return bands.filter((band) => band.points.length);
}

const bands = heatBands(), BAND = 72;

function drawDisks() {
    if (!bands.length)
        return;
    element("heat").hidden = false;
    const [context, all] = prepare(element("disks"), bands.length * BAND), width = all - LABELS;
    bands.forEach((band, i) => {
        const top = i * BAND + 4, high = BAND - 8;
        context.fillStyle = color("soft");
        context.fillText(band.name, 2, top + 12);
        context.fillText(`${band.unit} 0 to ${band.most}`, 2, top + 26, LABELS - 6);
        context.strokeStyle = color("line");
        context.strokeRect(LABELS + 0.5, top + 0.5, width - 1, high);
        context.globalAlpha = 0.6;
        const last = lower(band.times, view.to);
        for (let p = lower(band.times, view.from); p < last; p++) {
            const point = band.points[p];
            context.fillStyle = color(point.failed ? "mark" : point.write ? "write" : "read");
            context.fillRect(xOf(point.at, width), top + high - 3 - point.place / band.most * (high - 4), 2, 3);
        }
        context.globalAlpha = 1;
    });
    if (picked !== null)
        upright(context, picked, width, bands.length * BAND, "pick");
}

/* ---- Moving ---- */

let waiting = false;

function redraw() {
    if (waiting)
        return;
    waiting = true;
    requestAnimationFrame(() => {
        waiting = false;
        drawMap();
        drawLanes();
        drawDisks();
        element("range").textContent = `${spoken(view.from)} to ${spoken(view.to)}`;
    });
}

function show(from, to) {
    const span = Math.min(Math.max(to - from, 100), endTime);
    view.from = Math.min(Math.max(from, 0), endTime - span);
    view.to = view.from + span;
    redraw();
}

function zoom(factor, at = (view.from + view.to) / 2) {
    show(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

/* Brings a time into view without zooming out. */
function reveal(at) {
    const span = view.to - view.from;
    if (at < view.from || at > view.to)
        show(at - span / 2, at + span / 2);
    else
        redraw();
}

const timeAt = (canvas, event) => {
    const box = canvas.getBoundingClientRect();
    return view.from + (event.clientX - box.left - LABELS) / (box.width - LABELS) * (view.to - view.from);
};

function command(text, parent) {
    const line = make("div", undefined, parent);
    make("code", text, line);
    const copy = make("button", "copy", line);
    copy.addEventListener("click", () => navigator.clipboard?.writeText(text));
}

function pick(event) {
    const index = indexOf(event), detail = element("detail");
    picked = time[index];
    detail.className = "";
    detail.textContent = "";
    make("div", `event ${data.firstEvent + index} at ${spoken(time[index])}: ${siteName(sites[siteOf[index]])}`, detail);
    for (const lane of lanes.filter((it) => it.task))
        make("div", lane.name.replace("tasks", "had ") + lane.task[Math.max(lower(lane.from, picked + 1) - 1, 0)], detail);
    const call = calls[lower(callTimes, picked + 1) - 1];
    if (call)
        make("div", `last system call: ${call.process}: ${call.syscall}(${call.arguments}) = ${call.result}`, detail);
    const line = data.console[lower(consoleTimes, time[index] + 1) - 1];
    if (line)
        make("div", "console: " + line[2], detail).className = "soft";
    command(`hindsight debug ${data.path} -ex 'seek ${data.firstEvent + index}'`, detail);
    command(`hindsight replay ${data.path} --until ${data.firstEvent + index} --console`, detail);
    reveal(picked);
    drawConsole();
}

for (const canvas of [element("lanes"), element("disks")]) {
    let held = null, moved = false;
    canvas.addEventListener("wheel", (event) => {
        event.preventDefault();
        if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
            const by = (event.deltaX || event.deltaY) / 800 * (view.to - view.from);
            show(view.from + by, view.to + by);
        } else {
            zoom(Math.exp(event.deltaY / 400), timeAt(canvas, event));
        }
    }, {passive: false});
    canvas.addEventListener("pointerdown", (event) => {
        held = {x: event.clientX, from: view.from, to: view.to};
        moved = false;
        canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
        if (held && Math.abs(event.clientX - held.x) > 3) {
            const by = (held.x - event.clientX) / (canvas.clientWidth - LABELS) * (held.to - held.from);
            moved = true;
            show(held.from + by, held.to + by);
        }
        tip(canvas, event);
    });
    canvas.addEventListener("pointerup", (event) => {
        held = null;
        const at = timeAt(canvas, event);
        if (!moved && at >= view.from && count)
            pick(data.firstEvent + nearest(at));
    });
    canvas.addEventListener("pointerleave", () => element("tip").style.display = "none");
    canvas.addEventListener("dblclick", (event) => zoom(0.25, timeAt(canvas, event)));
}

function ranThen(lane, at) {
    if (!lane.state && !lane.task)
        return "";
    const i = Math.max(lower(lane.from, at) - 1, 0);
    if (lane.task)
        return ": " + lane.task[i];
    return ": " + ["idle", "kernel", "user"][lane.state[i]] +
        (lane.state[i] ? `, page table ${data.tables[lane.space[i]]}` : "");
}

function nearest(at) {
    const after = Math.min(lower(time, at), count - 1);
    return after > 0 && at - time[after - 1] < time[after] - at ? after - 1 : after;
}

function tip(canvas, event) {
    const at = timeAt(canvas, event), box = element("tip");
    if (at < view.from || !count) {
        box.style.display = "none";
        return;
    }
    const index = nearest(at), y = event.offsetY;
    let text = `${spoken(at)}\nevent ${data.firstEvent + index}: ${siteName(sites[siteOf[index]])}`;
    const lane = canvas.id === "lanes" && y >= 18 && lanes[Math.floor((y - 18) / LANE)];
    if (lane)
        text = lane.name + ranThen(lane, at) + "\n" + text;
    const band = canvas.id === "disks" && bands[Math.floor(y / BAND)];
    if (band) {
        const point = band.points[Math.min(lower(band.times, at), band.points.length - 1)];
        text = `${band.name}\n${spoken(point.at)}, event ${point.event}\n${point.text}`;
    }
    box.textContent = text;
    box.style.display = "block";
    box.style.left = Math.min(event.clientX + 14, window.innerWidth - box.offsetWidth - 8) + "px";
    box.style.top = event.clientY + 14 + "px";
}

element("map").addEventListener("pointerdown", (event) => {
    const box = element("map").getBoundingClientRect(), span = view.to - view.from;
    const at = (event.clientX - box.left - LABELS) / (box.width - LABELS) * endTime;
    show(at - span / 2, at + span / 2);
});
element("in").addEventListener("click", () => zoom(0.5));
element("out").addEventListener("click", () => zoom(2));
element("all").addEventListener("click", () => show(0, endTime));
window.addEventListener("resize", redraw);
window.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT")
        return;
    const span = view.to - view.from;
    const keys = {
        "+": () => zoom(0.5), "-": () => zoom(2), "0": () => show(0, endTime),
        "ArrowLeft": () => show(view.from - span / 5, view.to - span / 5),
        "ArrowRight": () => show(view.from + span / 5, view.to + span / 5),
        "/": () => element("search").focus(),
    };
    if (keys[event.key]) {
        keys[event.key]();
        event.preventDefault();
    }
});

/* ---- The console, of which only the lines in sight exist as elements ---- */

const callTimes = Float64Array.from(calls, (row) => row.time);
const consoleTimes = Float64Array.from(data.console, (row) => row[1]);
const marked = new Set(data.marks.map((row) => row[0]));
let hits = [], hit = -1;

function drawConsole() {
    const box = element("console"), lines = element("lines");
    lines.style.height = data.console.length * ROW + "px";
    lines.textContent = "";
    const first = Math.max(Math.floor(box.scrollTop / ROW) - 5, 0);
    const last = Math.min(first + Math.ceil(box.clientHeight / ROW) + 10, data.console.length);
    const at = picked === null ? -1 : lower(consoleTimes, picked + 1) - 1;
    const wanted = element("search").value.toLowerCase();
    for (let i = first; i < last; i++) {
        const [event, when, text] = data.console[i];
        const row = make("div", text, lines);
        row.className = "row" + (marked.has(event) ? " mark" : "") + (i === at ? " at" : "") +
            (wanted && text.toLowerCase().includes(wanted) ? " hit" : "");
        row.style.top = i * ROW + "px";
        row.title = `event ${event}, ${spoken(when)}`;
        row.addEventListener("click", () => pick(event));
    }
}
element("console").addEventListener("scroll", drawConsole);

const eventOf = (row) => parseInt(row.position, 10);

function search() {
    const wanted = element("search").value.toLowerCase();
    hits = [];
    hit = -1;
    if (wanted) {
        data.console.forEach((row, i) => row[2].toLowerCase().includes(wanted) && hits.push({event: row[0], line: i}));
        data.marks.forEach((row) => row[2].toLowerCase().includes(wanted) && hits.push({event: row[0]}));
        sites.forEach((site, i) => {
            if (site.hits && siteName(site).includes(wanted))
                hits.push({event: data.firstEvent + Math.max(siteOf.indexOf(i), 0)});
        });
        for (const row of calls) {
            if (`${row.process} ${row.syscall} ${row.arguments}`.toLowerCase().includes(wanted))
                hits.push({event: eventOf(row)});
        }
        hits.sort((a, b) => a.event - b.event);
    }
    element("found").textContent = wanted ? `${hits.length} found` : "";
    drawConsole();
}

function go(step) {
    if (!hits.length)
        return;
    hit = (hit + step + hits.length) % hits.length;
    element("found").textContent = `${hit + 1} of ${hits.length}`;
    if (hits[hit].line !== undefined)
        element("console").scrollTop = Math.max(hits[hit].line - 5, 0) * ROW;
    pick(hits[hit].event);
}
element("search").addEventListener("input", search);
element("search").addEventListener("keydown", (event) => event.key === "Enter" && go(event.shiftKey ? -1 : 1));
element("next").addEventListener("click", () => go(1));
element("previous").addEventListener("click", () => go(-1));

/* ---- Tables ---- */

function fill(table, rows, onclick) {
    for (const cells of rows) {
        const row = make("tr", undefined, table);
        for (const cell of cells.text)
            make("td", cell, row).className = typeof cell === "number" ? "number" : "";
        if (cells.event !== undefined) {
            row.className = "go";
            row.addEventListener("click", () => pick(cells.event));
        }
    }
}

element("name").textContent = data.path;
element("outcome").textContent = data.end.outcome;
element("outcome").classList.toggle("bad", data.end.failed);
document.title = data.path + ": " + data.end.outcome;
element("summary").textContent = `${data.eventsSeen.toLocaleString("en")} events, ${spoken(endTime)} of virtual time` +
    (data.end.text ? `; ${data.end.text}` : "") +
    (data.timesLeftOut ? `; the first ${count.toLocaleString("en")} events are shown` : "");
const marks = data.marks.map((row) => ({event: row[0], text: [spoken(row[1]), row[2]]}));
if (data.against)
    marks.push({event: data.against.event || undefined, text: [data.against.event ? spoken(timeOf(data.against.event)) : "",
        data.against.event ? `parts from ${data.against.name}: event ${data.against.event}` :
            `the same as ${data.against.name}, event by event`]});
fill(element("marks").firstChild, marks.length ? marks : [{text: ["none"]}]);
fill(element("sites").firstChild, sites.map((site, i) => ({site, i})).filter(({site}) => site.hits)
    .sort((a, b) => b.site.hits - a.site.hits).slice(0, 500)
    .map(({site, i}) => ({text: [siteName(site), site.hits], event: data.firstEvent + Math.max(siteOf.indexOf(i), 0)})));
if (calls.length) {
    element("calls").hidden = false;
    fill(element("calls").lastElementChild.firstChild, calls.slice(0, 2000).map((row) => ({event: eventOf(row),
        text: [spoken(row.time), row.process, `${row.syscall}(${row.arguments ?? ""})`, row.result ?? ""]})));
}
function showRaces(place) {
    let number;
    for (const row of races) {
        if (row.race !== number)
            make("div", `Race ${number = row.race}: ${row.times.toLocaleString("en")} times, first on ${row.address}`, place);
        const line = make("div", `${row.process} on vCPU ${row.vcpu} ${row.kind === "read" ? "reads" : "writes"} ` +
            `${row.bytes} bytes at ${row.line}, in ${row.stack}, at ${row.position}, ${spoken(row.time)}`, place);
        line.className = "race";
        line.addEventListener("click", () => pick(eventOf(row)));
        command(`hindsight debug ${data.path} ${data.symbols} -ex 'seek ${row.position}' -ex backtrace`, place);
    }
    if (!races.length)
        make("div", "None were found between two vCPUs, in the program's own code.", place).className = "soft";
    for (const note of data.conflicts.notes.trim().split("\n"))
        make("div", note, place).className = "soft";
}
if (data.conflicts) {
    element("races").hidden = false;
    showRaces(element("races").lastElementChild);
}
fill(element("machine").firstChild, data.settings.map(([key, value]) => ({text: [key, value]})));

drawConsole();
drawMap();
drawLanes();
drawDisks();
element("range").textContent = `${spoken(view.from)} to ${spoken(view.to)}`;
document.body.dataset.errors = errors;
document.body.dataset.lanes = lanes.length;
document.body.dataset.ready = count;
