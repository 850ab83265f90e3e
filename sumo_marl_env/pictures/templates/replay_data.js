// The page's data: unpacking it, and where and how everybody is at a moment.

/** The numbers that `_packed` in replay_page.py wrote, as `NumberType` (a typed array). */
async function unpacked(text, NumberType) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new NumberType(await new Response(stream).arrayBuffer());
}

/** A vehicle's way without gaps: one position in metres per second from `begin` to `end`. */
class Track {
  constructor(agent, begin, x, y) {
    Object.assign(this, { agent, begin, x, y, end: begin + x.length - 1, heading: headings(x, y) });
  }

  /** {x, y, heading} at a time between `begin` and `end`, else null. */
  at(time) {
    if (time < this.begin || time > this.end) return null;
    const row = Math.min(Math.floor(time - this.begin), this.x.length - 1);
    const next = Math.min(row + 1, this.x.length - 1);
    const share = time - this.begin - row;
    return {
      x: this.x[row] + share * (this.x[next] - this.x[row]),
      y: this.y[row] + share * (this.y[next] - this.y[row]),
      heading: this.heading[row],
    };
  }
}

/** Radians; a vehicle that stands keeps the heading with which it came. */
function headings(x, y) {
  const angles = new Float32Array(x.length);
  for (let row = 0; row + 1 < x.length; row++) {
    const dx = x[row + 1] - x[row];
    const dy = y[row + 1] - y[row];
    angles[row] = Math.hypot(dx, dy) > 0.3 ? Math.atan2(dy, dx) : row ? angles[row - 1] : 0;
  }
  if (x.length > 1) angles[x.length - 1] = angles[x.length - 2];
  return angles;
}

async function readTracks(packed, unit) {
  const [dx, dy] = await Promise.all([unpacked(packed.dx, Int16Array), unpacked(packed.dy, Int16Array)]);
  let step = 0;
  return packed.heads.map(([agent, begin, count, firstX, firstY]) => {
    const x = new Float32Array(count);
    const y = new Float32Array(count);
    for (let row = 0, sumX = firstX, sumY = firstY; row < count; row++) {
      x[row] = sumX * unit;
      y[row] = sumY * unit;
      if (row + 1 < count) {
        sumX += dx[step];
        sumY += dy[step];
        step += 1;
      }
    }
    return new Track(agent, begin, x, y);
  });
}

/** The sum of each agent's rewards up to a moment. */
async function readRewards(packed, numAgents) {
  const [times, steps] = await Promise.all([
    unpacked(packed.times_s, Float32Array),
    unpacked(packed.steps, Int32Array),
  ]);
  const sums = steps.map((_, index) => index);
  for (let agent = 0, sum = 0; agent < numAgents; agent++, sum = 0) {
    for (let row = agent * times.length; row < (agent + 1) * times.length; row++) sums[row] = sum += steps[row];
  }
  return (agent, time) => {
    let low = 0;
    for (let high = times.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (times[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low ? sums[agent * times.length + low - 1] * packed.unit : 0;
  };
}

const EXIT_WORDS = {
  arrived: "arrived",
  horizon: "cut off on its way",
  not_inserted: "never inserted",
  stuck: "stuck",
  teleported: "teleported away",
  lost: "lost",
  simulator_failed: "SUMO failed",
  under_way: "under way at the end of the record",
};

/** How an agent is at a moment: {kind: planned | waiting | driving | arrived | failed, words, travelTime}. */
function stateOf(agent, time) {
  const travelTime = Math.max(0, Math.min(time, agent.end_s) - agent.depart_s);
  if (time < agent.depart_s) return { kind: "planned", words: "not yet departed", travelTime: null };
  if (time >= agent.end_s) {
    const kind = agent.exit === "arrived" ? "arrived" : "failed";
    return { kind, words: EXIT_WORDS[agent.exit] ?? agent.exit, travelTime };
  }
  const isInserted = agent.departed_s !== null && time > agent.departed_s;
  return isInserted
    ? { kind: "driving", words: "driving", travelTime }
    : { kind: "waiting", words: "waiting for room", travelTime };
}

/** 754 as 12:34. */
function clock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
