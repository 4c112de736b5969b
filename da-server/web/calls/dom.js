// Making and keeping elements. Words go in as text, never as markup.

export const $ = (id) => document.getElementById(id);

// Children may be elements, words, or nothing.
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Makes `parent`'s children those of `calls`, in order. One that is there stays the same element and
// is not moved without need, so that it keeps the keyboard's focus.
export function keepInOrder(parent, calls, make) {
  const known = new Map([...parent.children].map((child) => [child.dataset.call, child]));
  const wanted = calls.map((call) => {
    const id = String(call.id);
    const child = known.get(id) ?? make(call);
    known.delete(id);
    child.dataset.call = id;
    return child;
  });
  for (const gone of known.values()) gone.remove();
  wanted.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}
