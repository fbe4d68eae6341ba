// tree.js: takes as a tree of futures in the order in which they are listed. Pure.

/** Takes with their depth, each below the take it was forked from; a take whose parent is gone stands at the left. */
export function treeOf(takes) {
  const known = new Set(takes.map((take) => take.id));
  const children = new Map();
  for (const take of takes) {
    const parent = known.has(take.parent) && take.parent !== take.id ? take.parent : null;
    children.set(parent, [...(children.get(parent) || []), take]);
  }
  const rows = [];
  const seen = new Set();
  const walk = (take, depth) => {
    if (seen.has(take.id)) return;
    seen.add(take.id);
    rows.push({ take, depth });
    for (const child of children.get(take.id) || []) walk(child, depth + 1);
  };
  for (const take of children.get(null) || []) walk(take, 0);
  for (const take of takes) walk(take, 0); // whatever a damaged file made unreachable is still shown
  return rows;
}

/** Index of the first chunk in which two paths differ; the shorter length when one is the beginning of the other. */
export function firstDifference(a, b) {
  let i = 0;
  while (i < a.length && i < b.length && a[i].id === b[i].id) i += 1;
  return i;
}
