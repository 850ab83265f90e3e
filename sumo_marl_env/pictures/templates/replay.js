// The page: playback, table and keys. Everything on it follows from three values: time, speed, and the chosen agent.

const element = (id) => document.getElementById(id);

class Player {
  constructor(data, tracks, rewardOf) {
    const decimals = Math.max(1, Math.ceil(-Math.log10(data.rewards.unit)));
    Object.assign(this, { data, tracks, rewardOf, decimals });
    this.view = new MapView(element("map"), data, tracks);
    this.time = 0;
    this.chosen = null;
    this.isPlaying = false;
    this.isFollowing = false;
    this.rows = data.agents.map((agent, row) => this.tableRow(agent, row));
    element("agents").append(...this.rows.map((row) => row.line));
    element("time").max = data.end_s;
    element("end").textContent = clock(data.end_s);
    element("notice").textContent = data.notice;
    this.warn();
    this.listen();
    this.resize();
  }

  warn() {
    const { differences } = this.data;
    if (!differences.length) return;
    const first = differences.slice(0, 3).join("; ");
    element("warning").textContent =
      `This is not the recorded episode: simulated again, ${differences.length} of ${this.data.agents.length} agents ` +
      `fared differently (${first}${differences.length > 3 ? "; ..." : ""}). Rewards and states are the recorded ones.`;
    element("warning").hidden = false;
  }

  tableRow(agent, row) {
    const line = document.createElement("tr");
    line.style.setProperty("--agent", agentColor(row));
    const [name, state, travelTime, reward] = Array.from({ length: 4 }, () => line.insertCell());
    const button = document.createElement("button");
    button.type = "button";
    button.append(document.createElement("i"), agent.name);
    button.setAttribute("aria-pressed", "false");
    name.append(button);
    travelTime.className = reward.className = "number";
    line.addEventListener("click", () => this.choose(this.chosen === row ? null : row));
    return { line, button, state, travelTime, reward };
  }

  /** Show the moment. */
  show() {
    if (this.isFollowing && this.chosen !== null) this.follow();
    this.view.draw(this.time, this.chosen);
    element("time").value = this.time;
    element("time").setAttribute("aria-valuetext", clock(this.time));
    element("clock").textContent = clock(this.time);
    this.fillTable();
  }

  fillTable() {
    const counts = { planned: 0, waiting: 0, driving: 0, arrived: 0, failed: 0 };
    const sums = { reward: 0, travelTime: 0, departed: 0 };
    this.data.agents.forEach((agent, row) => {
      const { kind, words, travelTime } = stateOf(agent, this.time);
      const reward = this.rewardOf(row, this.time);
      const cells = this.rows[row];
      counts[kind] += 1;
      sums.reward += reward;
      sums.departed += travelTime !== null;
      sums.travelTime += travelTime ?? 0;
      setText(cells.state, words);
      cells.state.className = `state ${kind}`;
      setText(cells.travelTime, travelTime === null ? "–" : `${Math.round(travelTime)} s`);
      setText(cells.reward, reward.toFixed(this.decimals));
    });
    setText(element("under-way"), String(counts.waiting + counts.driving));
    setText(element("arrived"), `${counts.arrived} of ${this.data.agents.length}`);
    setText(element("mean-travel-time"), sums.departed ? `${Math.round(sums.travelTime / sums.departed)} s` : "–");
    setText(element("mean-reward"), (sums.reward / this.data.agents.length).toFixed(this.decimals));
  }

  follow() {
    const place = this.tracks.filter((track) => track.agent === this.chosen).map((track) => track.at(this.time)).find(Boolean);
    if (place) this.view.moveTo(place.x, place.y);
  }

  /** Choose an agent by its row, or none (null). On a magnified map it is also followed. */
  choose(row) {
    if (this.chosen !== null) this.mark(this.chosen, false);
    this.chosen = row;
    this.isFollowing = row !== null && !this.view.isWhole;
    if (row !== null) this.mark(row, true);
    this.show();
  }

  mark(row, isChosen) {
    const { line, button } = this.rows[row];
    line.classList.toggle("chosen", isChosen);
    button.setAttribute("aria-pressed", String(isChosen));
    if (isChosen) showInList(line);
  }

  seek(time) {
    this.time = Math.min(this.data.end_s, Math.max(0, time));
    this.show();
  }

  play(isPlaying) {
    if (isPlaying && this.time >= this.data.end_s) this.time = 0;
    this.isPlaying = isPlaying;
    element("play").textContent = isPlaying ? "❚❚" : "▶";
    element("play").setAttribute("aria-label", isPlaying ? "Pause" : "Play");
    if (isPlaying) requestAnimationFrame((now) => this.tick(now, now));
  }

  tick(before, now) {
    if (!this.isPlaying) return;
    this.seek(this.time + ((now - before) / 1000) * Number(element("speed").value));
    if (this.time >= this.data.end_s) this.play(false);
    else requestAnimationFrame((later) => this.tick(now, later));
  }

  resize() {
    this.view.resize();
    this.drawCrowd();
    this.show();
  }

  /** Above the slider: how many agents are under way. */
  drawCrowd() {
    const canvas = element("crowd");
    canvas.width = canvas.clientWidth;
    canvas.height = canvas.clientHeight;
    const pen = canvas.getContext("2d");
    pen.fillStyle = this.view.color("accent");
    for (let left = 0; left < canvas.width; left++) {
      const time = (left / canvas.width) * this.data.end_s;
      const driving = this.data.agents.filter((agent) => agent.depart_s <= time && time < agent.end_s).length;
      const height = (driving / this.data.agents.length) * canvas.height;
      pen.fillRect(left, canvas.height - height, 1, height);
    }
  }

  listen() {
    element("play").addEventListener("click", () => this.play(!this.isPlaying));
    element("time").addEventListener("input", (event) => this.seek(Number(event.target.value)));
    element("zoom-in").addEventListener("click", () => this.look(() => this.view.zoom(1.5)));
    element("zoom-out").addEventListener("click", () => this.look(() => this.view.zoom(1 / 1.5)));
    element("whole").addEventListener("click", () => this.showWhole());
    new ResizeObserver(() => this.resize()).observe(element("stage"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.resize());
    document.addEventListener("keydown", (event) => this.press(event));
    this.listenToMap(element("map"));
  }

  listenToMap(map) {
    const fingers = new Map();
    let hasMoved = false;
    map.addEventListener("pointerdown", (event) => {
      map.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
      hasMoved = false;
    });
    map.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = [event.offsetX, event.offsetY];
      if (!hasMoved && Math.hypot(now[0] - before[0], now[1] - before[1]) < 4) return;
      hasMoved = true;
      fingers.set(event.pointerId, now);
      this.isFollowing = false;
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      this.look(() => (other ? this.pinch(other, before, now) : this.view.pan(now[0] - before[0], now[1] - before[1])));
    });
    const release = (event) => fingers.delete(event.pointerId);
    map.addEventListener("pointerup", (event) => {
      release(event);
      if (!hasMoved) this.choose(this.view.agentAt(event.offsetX, event.offsetY, this.time));
    });
    map.addEventListener("pointercancel", release);
    map.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.look(() => this.view.zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY));
      },
      { passive: false },
    );
  }

  pinch(other, before, now) {
    const spread = (place) => Math.max(1, Math.hypot(place[0] - other[0], place[1] - other[1]));
    this.view.zoom(spread(now) / spread(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }

  look(move) {
    move();
    this.show();
  }

  showWhole() {
    this.isFollowing = false;
    this.look(() => this.view.showWhole());
  }

  press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "SELECT") return;
    const leap = event.shiftKey ? 60 : 10;
    const count = this.data.agents.length;
    const actions = {
      " ": () => this.play(!this.isPlaying),
      ArrowLeft: () => this.seek(this.time - leap),
      ArrowRight: () => this.seek(this.time + leap),
      ArrowUp: () => this.choose(((this.chosen ?? count) + count - 1) % count),
      ArrowDown: () => this.choose(((this.chosen ?? -1) + 1) % count),
      Home: () => this.seek(0),
      End: () => this.seek(this.data.end_s),
      Escape: () => this.choose(null),
      "+": () => this.look(() => this.view.zoom(1.5)),
      "-": () => this.look(() => this.view.zoom(1 / 1.5)),
      0: () => this.showWhole(),
    };
    // A button in focus takes the space bar itself.
    if (!(event.key in actions) || (event.key === " " && event.target.tagName === "BUTTON")) return;
    event.preventDefault();
    actions[event.key]();
  }
}

/** Scroll the table, and not the whole page, which on a narrow window would take the map out of sight. */
function showInList(line) {
  const list = element("list");
  const [inside, outside] = [line.getBoundingClientRect(), list.getBoundingClientRect()];
  const above = inside.top - outside.top - list.querySelector("thead").offsetHeight;
  const below = inside.bottom - outside.bottom;
  if (above < 0) list.scrollTop += above;
  else if (below > 0) list.scrollTop += below;
}

function setText(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

let player;

async function start() {
  const data = JSON.parse(element("data").textContent);
  const tracks = await readTracks(data.tracks, data.unit_m);
  player = new Player(data, tracks, await readRewards(data.rewards, data.agents.length));
  // replay.html#t=300&agent=vehicle_4 opens at that moment, with that agent chosen.
  const wanted = new URLSearchParams(location.hash.slice(1));
  const row = data.agents.findIndex((agent) => agent.name === wanted.get("agent"));
  if (row >= 0) player.choose(row);
  player.seek(Number(wanted.get("t") ?? 0));
  document.body.dataset.ready = "true";
}

start().catch((error) => {
  element("warning").textContent = `This page could not be shown: ${error.message}. It needs a browser of 2023 or later.`;
  element("warning").hidden = false;
  throw error;
});
