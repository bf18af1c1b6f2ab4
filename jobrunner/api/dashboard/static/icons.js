// Line drawings of 16 x 16, in the colour of the text around them. They say nothing that words beside them do not.

const SVG = "http://www.w3.org/2000/svg";

const DRAWINGS = {
  now: "M1.5 8.5h3l2-5 3 9 2-4h3",
  jobs: "M5.5 3.5h9 M5.5 8h9 M5.5 12.5h9 M1.5 3.5h.5 M1.5 8h.5 M1.5 12.5h.5",
  gallery: "M2 2.5h12v11H2z M2 11l3.5-3.5 3 3 2-2L14 12 M10.5 5.7h.1",
  submit: "M8 2.5v11 M2.5 8h11",
  help: "M5.7 6.1a2.3 2.3 0 1 1 3.4 2C8.3 8.6 8 9 8 9.8 M8 12.2v.1 M8 1.2a6.8 6.8 0 1 0 0 13.6A6.8 6.8 0 1 0 8 1.2z",
  pending: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11z M8 5v3l2 1.5",
  in_progress: "M8 2.5A5.5 5.5 0 1 1 2.5 8",
  completed: "M2.5 8.5l3.5 3.5 7.5-8",
  failed: "M3.5 3.5l9 9 M12.5 3.5l-9 9",
  cancelled: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11z M4.2 11.8l7.6-7.6",
  warning: "M8 2L15 14H1z M8 6.5v3.2 M8 11.7v.1",
  info: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 1 0 8 1.8z M8 7.3V11 M8 5v.1",
  image: "M2 2.5h12v11H2z M2 11l3.5-3.5 3 3 2-2L14 12 M10.5 5.7h.1",
  video: "M4.5 3v10l8-5z",
  audio: "M2 6.5v3 M5 4v8 M8 2v12 M11 4.5v7 M14 6.5v3",
  file: "M3.5 1.5h6l3 3v10h-9z M9.5 1.5v3h3",
  close: "M4 4l8 8 M12 4l-8 8",
  search: "M7 2.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 1 0 0-9.6z M10.6 10.6L14 14",
  copy: "M5.5 5.5h8v8h-8z M10.5 5.5v-3h-8v8h3",
  retry: "M13 8a5 5 0 1 1-1.6-3.7 M13.2 2v3h-3",
  right: "M6 3.5L10.5 8 6 12.5",
  leave: "M6.5 2.5h-4v11h4 M6.5 8h7.5 M11 5l3 3-3 3",
};

/** An element of an SVG drawing; attributes only. */
export function svg(tag, attrs, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attrs)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** One of the drawings above, hidden from screen readers. */
export function icon(name) {
  const drawing = svg("path", { d: DRAWINGS[name] ?? DRAWINGS.info });
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" }, drawing);
}
