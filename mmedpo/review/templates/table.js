// The table of ratings: CSV out, and in again to go on elsewhere.
const COLUMNS = ["rater", "pair", "digest", "presentation", "verdict", "relevance", "readable", "comment", "time"];

const writeCell = (value) => {
  const text = String(value ?? "").replace(/\r\n?/g, "\n");
  const safe = /^[=+\-@]/.test(text) ? `'${text}` : text; // or a spreadsheet takes it for a formula
  return `"${safe.replaceAll('"', '""')}"`;
};

const writeTable = (rows) => {
  const lines = rows.map((row) => COLUMNS.map((name) => writeCell(row[name])).join(","));
  return `\ufeff${[COLUMNS.join(","), ...lines].join("\r\n")}\r\n`; // the mark makes Excel read UTF-8
};

const readTable = (text) => {
  const head = text.split("\n", 1)[0];
  const mark = [",", ";", "\t"].reduce((best, one) => (head.split(one).length > head.split(best).length ? one : best));
  const rows = [[]];
  let cell = "", quoted = false;
  const source = text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n");
  for (let at = 0; at < source.length; at += 1) {
    const char = source[at];
    if (quoted && char === '"' && source[at + 1] === '"') { cell += '"'; at += 1; }
    else if (char === '"' && (quoted || cell === "")) quoted = !quoted;
    else if (!quoted && (char === mark || char === "\n")) {
      rows.at(-1).push(cell);
      cell = "";
      if (char === "\n") rows.push([]);
    } else cell += char;
  }
  rows.at(-1).push(cell);
  const [names, ...rest] = rows.filter((row) => row.length > 1);
  if (!names || !COLUMNS.every((name) => names.includes(name))) return null;
  const plain = (value) => (/^'[=+\-@]/.test(value) ? value.slice(1) : value);
  return rest.map((row) => Object.fromEntries(names.map((name, at) => [name, plain(row[at] ?? "")])));
};
