// The map: streets, vehicles, and the chosen agent's way.

const LANE_M = 3.2;
const CAR_M = [4.6, 2.0];

/** A colour per agent: neighbours in the list differ most. */
function agentColor(row) {
  return `hsl(${(row * 137.508 + 210) % 360} 72% ${[50, 42, 58][row % 3]}%)`;
}

class MapView {
  constructor(canvas, data, tracks) {
    Object.assign(this, { canvas, data, tracks, unit: data.unit_m });
    this.streets = document.createElement("canvas");
    this.width = this.height = 0;
    this.scale = 1;
    this.center = [0, 0];
    this.isWhole = true;
    this.destinations = this.destinationsWithAgents();
  }

  destinationsWithAgents() {
    const places = new Map();
    this.data.agents.forEach((agent, row) => {
      const key = agent.destination.join();
      if (!places.has(key)) places.set(key, { place: agent.destination, rows: [] });
      places.get(key).rows.push(row);
    });
    return [...places.values()];
  }

  /** Metres on the ground to pixels on the screen. */
  toScreen(x, y) {
    return [this.width / 2 + (x - this.center[0]) * this.scale, this.height / 2 - (y - this.center[1]) * this.scale];
  }

  toGround(left, top) {
    return [this.center[0] + (left - this.width / 2) / this.scale, this.center[1] - (top - this.height / 2) / this.scale];
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.canvas.getBoundingClientRect();
    Object.assign(this, { width, height, ratio });
    for (const canvas of [this.canvas, this.streets]) {
      canvas.width = Math.max(1, Math.round(width * ratio));
      canvas.height = Math.max(1, Math.round(height * ratio));
    }
    if (this.isWhole) this.showWhole();
    else this.drawStreets();
  }

  showWhole() {
    const bounds = [Infinity, Infinity, -Infinity, -Infinity];
    for (const shape of this.data.roads.shapes) {
      for (let at = 0; at < shape.length; at += 2) {
        bounds[0] = Math.min(bounds[0], shape[at] * this.unit);
        bounds[1] = Math.min(bounds[1], shape[at + 1] * this.unit);
        bounds[2] = Math.max(bounds[2], shape[at] * this.unit);
        bounds[3] = Math.max(bounds[3], shape[at + 1] * this.unit);
      }
    }
    const margin = 26;
    this.scale = Math.min(
      Math.max(1, this.width - 2 * margin) / Math.max(1, bounds[2] - bounds[0]),
      Math.max(1, this.height - 2 * margin) / Math.max(1, bounds[3] - bounds[1]),
    );
    this.center = [(bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2];
    this.isWhole = true;
    this.drawStreets();
  }

  /** Zoom by a factor; the ground under the pixel stays where it is. */
  zoom(factor, left = this.width / 2, top = this.height / 2) {
    const [x, y] = this.toGround(left, top);
    this.scale = Math.min(20, Math.max(0.01, this.scale * factor));
    this.center = [x - (left - this.width / 2) / this.scale, y + (top - this.height / 2) / this.scale];
    this.isWhole = false;
    this.drawStreets();
  }

  pan(left, top) {
    this.center = [this.center[0] - left / this.scale, this.center[1] + top / this.scale];
    this.isWhole = false;
    this.drawStreets();
  }

  moveTo(x, y) {
    this.center = [x, y];
    this.isWhole = false;
    this.drawStreets();
  }

  color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  /** The streets change with the view only, so they are drawn apart from what moves. */
  drawStreets() {
    const { data, unit } = this;
    const pen = this.streets.getContext("2d");
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    pen.lineJoin = pen.lineCap = "round";
    pen.strokeStyle = this.color("road");
    const line = (shape, width) => {
      pen.lineWidth = Math.max(1.4, width * this.scale);
      pen.beginPath();
      for (let at = 0; at < shape.length; at += 2) pen.lineTo(...this.toScreen(shape[at] * unit, shape[at + 1] * unit));
      pen.stroke();
    };
    data.roads.shapes.forEach((shape, edge) => line(shape, data.roads.lanes[edge] * LANE_M));
    for (const link of data.roads.links) line(link, LANE_M);
  }

  draw(time, chosen) {
    const pen = this.canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.drawImage(this.streets, 0, 0);
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    if (chosen !== null) this.drawWay(pen, time, chosen);
    for (const destination of this.destinations) this.drawDestination(pen, destination, time, chosen);
    const places = this.tracks.map((track) => track.at(time));
    pen.fillStyle = this.color("car");
    this.tracks.forEach((track, row) => {
      if (track.agent < 0 && places[row]) this.drawCar(pen, places[row], 1.8);
    });
    const ring = this.color("card");
    this.tracks.forEach((track, row) => {
      if (track.agent >= 0 && places[row]) this.drawAgent(pen, places[row], track.agent, ring, track.agent === chosen);
    });
  }

  /** A rectangle of true size, or a dot where that would be too small to see. */
  drawCar(pen, place, smallest) {
    const [left, top] = this.toScreen(place.x, place.y);
    const [length, width] = CAR_M.map((size) => size * this.scale);
    pen.beginPath();
    if (width < 2 * smallest) {
      pen.arc(left, top, smallest, 0, 2 * Math.PI);
    } else {
      pen.save();
      pen.translate(left, top);
      pen.rotate(-place.heading);
      // SUMO's position is that of the front bumper.
      pen.roundRect(-length, -width / 2, length, width, width / 4);
      pen.restore();
    }
    pen.fill();
  }

  drawAgent(pen, place, row, ring, isChosen) {
    pen.fillStyle = ring;
    this.drawCar(pen, place, isChosen ? 8 : 5.6);
    pen.fillStyle = agentColor(row);
    this.drawCar(pen, place, isChosen ? 6.2 : 4.2);
    if (isChosen) {
      pen.strokeStyle = agentColor(row);
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(...this.toScreen(place.x, place.y), Math.max(12, CAR_M[0] * this.scale), 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  /** A ring with a part for each agent that goes there: full once it has arrived. */
  drawDestination(pen, { place, rows }, time, chosen) {
    const [left, top] = this.toScreen(place[0] * this.unit, place[1] * this.unit);
    const part = (2 * Math.PI) / rows.length;
    rows.forEach((row, index) => {
      const hasArrived = stateOf(this.data.agents[row], time).kind === "arrived";
      pen.globalAlpha = hasArrived || row === chosen ? 1 : 0.35;
      pen.strokeStyle = agentColor(row);
      pen.lineWidth = row === chosen ? 8 : 5;
      pen.beginPath();
      pen.arc(left, top, 10, index * part - Math.PI / 2, (index + 1) * part - Math.PI / 2);
      pen.stroke();
    });
    pen.globalAlpha = 1;
  }

  /** Where the chosen agent came from, where it will go, and where it decided. */
  drawWay(pen, time, chosen) {
    const agent = this.data.agents[chosen];
    const own = this.tracks.filter((track) => track.agent === chosen);
    pen.lineJoin = pen.lineCap = "round";
    pen.strokeStyle = agentColor(chosen);
    const stroke = (isPast, width, alpha) => {
      pen.lineWidth = width;
      pen.globalAlpha = alpha;
      pen.beginPath();
      for (const track of own) {
        track.x.forEach((x, row) => {
          if (!isPast || track.begin + row <= time) pen[row ? "lineTo" : "moveTo"](...this.toScreen(x, track.y[row]));
        });
        const here = track.at(time);
        if (isPast && here) pen.lineTo(...this.toScreen(here.x, here.y));
      }
      pen.stroke();
    };
    stroke(false, 6, 0.25);
    stroke(true, 5, 0.8);
    pen.globalAlpha = 1;
    pen.fillStyle = this.color("card");
    pen.lineWidth = 1.5;
    for (const decided of agent.decisions_s) {
      const place = own.map((track) => track.at(decided)).find(Boolean);
      if (!place || decided > time) continue;
      pen.beginPath();
      pen.arc(...this.toScreen(place.x, place.y), 3, 0, 2 * Math.PI);
      pen.fill();
      pen.stroke();
    }
    const [left, top] = this.toScreen(agent.origin[0] * this.unit, agent.origin[1] * this.unit);
    pen.fillStyle = agentColor(chosen);
    pen.fillRect(left - 5, top - 5, 10, 10);
  }

  /** The agent whose vehicle is nearest to a pixel, if it is near, else null. */
  agentAt(left, top, time) {
    let [best, nearest] = [null, 16];
    for (const track of this.tracks) {
      const place = track.agent < 0 ? null : track.at(time);
      if (!place) continue;
      const [x, y] = this.toScreen(place.x, place.y);
      const distance = Math.hypot(x - left, y - top);
      if (distance < nearest) [best, nearest] = [track.agent, distance];
    }
    return best;
  }
}
