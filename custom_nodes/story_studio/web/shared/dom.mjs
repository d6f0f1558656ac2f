/** Elements of the panel. Text from a story is inserted as text, never as HTML. */

export function h(tag, props = {}, ...children) {
  const { aria = {}, ...rest } = props
  const element = Object.assign(document.createElement(tag), rest)
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value)
  element.append(...children)
  return element
}

/** Puts children into an element in this order. What stays where it is keeps its focus, and a video plays on. */
export function arrange(parent, wanted) {
  for (const one of [...parent.children]) if (!wanted.includes(one)) one.remove()
  wanted.forEach((one, index) => {
    if (parent.children[index] !== one) parent.insertBefore(one, parent.children[index] ?? null)
  })
}

/** The values of a Map by key: those of `known` that are still wanted, and new ones that `create(key)` makes. */
export const kept = (known, keys, create) => new Map(keys.map(key => [key, known.get(key) ?? create(key)]))

/** Sets only what differs, so that a video keeps playing and a button keeps its focus. */
export function set(element, props) {
  for (const [name, value] of Object.entries(props)) if (element[name] !== value) element[name] = value
}
