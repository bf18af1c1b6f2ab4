// Makes what stands in the page look like what was drawn anew, by as few changes as it takes: what the reader has
// focused, selected or scrolled to stays. Listeners are not carried over, so it is for what has none of its own.
// Children with a data-key are known by it wherever they moved; the others by their place.

/** Make `old` like `fresh`; both are elements of the same name. */
export function morph(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const keyed = new Map([...old.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const known = keyOf(child) ? keyed.get(keyOf(child)) : at && !keyOf(at) ? at : null;
    if (known?.nodeName !== child.nodeName) {
      old.insertBefore(child, at);
      continue;
    }
    if (known === at) at = at.nextSibling;
    else old.insertBefore(known, at);
    if (known.nodeType === Node.ELEMENT_NODE) morph(known, child);
    else if (known.data !== child.data) known.data = child.data;
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

const keyOf = (node) => node.dataset?.key;
