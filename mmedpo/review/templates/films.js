"use strict";
// The films of a pair: zoom, place and greys are one for all of them, so that two can be compared.
const makeViewer = (place, controls) => {
  const usual = { zoom: 1, x: 0, y: 0, width: 255, level: 127.5, inverted: false };
  let now = { ...usual }, panes = [];
  const limit = (value, low, high) => Math.min(Math.max(value, low), high);

  const fit = ({ pane, image }) => Math.min(pane.clientWidth / image.naturalWidth, pane.clientHeight / image.naturalHeight);

  const draw = () => {
    const slope = (now.inverted ? -1 : 1) * 255 / now.width;
    const middle = 0.5 - now.level / now.width;
    for (const change of document.querySelectorAll("#greys feFuncR, #greys feFuncG, #greys feFuncB")) {
      change.setAttribute("slope", String(slope));
      change.setAttribute("intercept", String(now.inverted ? 1 - middle : middle));
    }
    for (const one of panes) {
      const { pane, image } = one;
      if (!image.naturalWidth) continue;
      const scale = fit(one) * now.zoom;
      const x = (now.x - 0.5) * image.naturalWidth * scale, y = (now.y - 0.5) * image.naturalHeight * scale;
      image.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
      pane.classList.toggle("near", now.zoom > 1);
    }
    controls.width.value = now.width;
    controls.level.value = now.level;
    controls.zoom.value = Math.log2(now.zoom);
    controls.invert.setAttribute("aria-pressed", String(now.inverted));
  };

  const set = (change) => {
    now = { ...now, ...change };
    now.zoom = limit(now.zoom, 1, 32);
    now.width = limit(now.width, 1, 510);
    now.level = limit(now.level, 0, 255);
    const reach = now.zoom > 1 ? 0.5 : 0;
    now.x = limit(now.x, -reach, reach);
    now.y = limit(now.y, -reach, reach);
    draw();
  };

  // Zoom so that what lies under a point of a pane stays there.
  const zoomAt = (one, factor, clientX, clientY) => {
    const box = one.pane.getBoundingClientRect(), before = fit(one) * now.zoom;
    const zoom = limit(now.zoom * factor, 1, 32), after = fit(one) * zoom;
    const far = (client, start, size) => client - start - size / 2;
    const [dx, dy] = [far(clientX, box.left, box.width), far(clientY, box.top, box.height)];
    const { naturalWidth, naturalHeight } = one.image;
    set({
      zoom,
      x: now.x + dx * (1 / after - 1 / before) / naturalWidth,
      y: now.y + dy * (1 / after - 1 / before) / naturalHeight,
    });
  };

  const listen = (one) => {
    const { pane, image } = one, held = new Map();
    pane.addEventListener("contextmenu", (event) => event.preventDefault());
    pane.addEventListener("dblclick", () => set(usual));
    pane.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoomAt(one, event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX, event.clientY);
    }, { passive: false });
    pane.addEventListener("pointerdown", (event) => {
      held.set(event.pointerId, event);
      pane.setPointerCapture(event.pointerId);
      pane.classList.add("held");
    });
    pane.addEventListener("pointermove", (event) => {
      const last = held.get(event.pointerId);
      if (!last) return;
      const dx = event.clientX - last.clientX, dy = event.clientY - last.clientY;
      const other = [...held.values()].find((touch) => touch.pointerId !== event.pointerId);
      held.set(event.pointerId, event);
      if (other) {
        const apart = (touch) => Math.hypot(touch.clientX - other.clientX, touch.clientY - other.clientY);
        zoomAt(one, apart(event) / Math.max(apart(last), 1), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
      } else if (event.buttons & 2 || event.shiftKey) {
        set({ width: now.width + dx, level: now.level + dy / 2 });
      } else {
        const scale = fit(one) * now.zoom;
        set({ x: now.x + dx / (image.naturalWidth * scale), y: now.y + dy / (image.naturalHeight * scale) });
      }
    });
    const drop = (event) => {
      held.delete(event.pointerId);
      pane.classList.remove("held");
    };
    for (const name of ["pointerup", "pointercancel"]) pane.addEventListener(name, drop);
  };

  const show = (films) => {
    panes = films.map(({ source, caption, size }) => {
      const figure = document.createElement("figure"), pane = document.createElement("div");
      const image = document.createElement("img"), said = document.createElement("figcaption");
      figure.className = "film";
      pane.className = "pane";
      image.alt = caption;
      image.draggable = false;
      image.addEventListener("load", draw);
      image.src = source;
      said.textContent = caption;
      const small = document.createElement("span");
      small.className = "faint";
      small.textContent = ` ${size}`;
      said.append(small);
      pane.append(image);
      figure.append(said, pane);
      return { figure, pane, image };
    });
    place.replaceChildren(...panes.map((one) => one.figure));
    panes.forEach(listen);
    now = { ...usual };
    draw();
  };

  const keys = {
    "+": () => set({ zoom: now.zoom * 1.25 }), "=": () => set({ zoom: now.zoom * 1.25 }), "-": () => set({ zoom: now.zoom / 1.25 }),
    ArrowLeft: () => set({ x: now.x + 0.08 / now.zoom }), ArrowRight: () => set({ x: now.x - 0.08 / now.zoom }),
    ArrowUp: () => set({ y: now.y + 0.08 / now.zoom }), ArrowDown: () => set({ y: now.y - 0.08 / now.zoom }),
    w: () => set({ width: now.width / 1.15 }), W: () => set({ width: now.width * 1.15 }),
    l: () => set({ level: now.level + 8 }), L: () => set({ level: now.level - 8 }),
    i: () => set({ inverted: !now.inverted }), f: () => set(usual),
  };
  controls.width.addEventListener("input", () => set({ width: Number(controls.width.value) }));
  controls.level.addEventListener("input", () => set({ level: Number(controls.level.value) }));
  controls.zoom.addEventListener("input", () => set({ zoom: 2 ** Number(controls.zoom.value) }));
  controls.invert.addEventListener("click", keys.i);
  controls.reset.addEventListener("click", () => set(usual));
  controls.actual.addEventListener("click", () => panes.length && set({ zoom: 1 / (fit(panes[0]) * devicePixelRatio) }));
  addEventListener("resize", draw);
  const press = (key) => {
    const moves = key.startsWith("Arrow");
    if (!panes.length || !(key in keys) || (moves && now.zoom === 1)) return false;
    keys[key]();
    return true;
  };
  return { show, press };
};
