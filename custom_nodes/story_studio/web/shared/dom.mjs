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
  const stay = new Set(wanted)
  for (const one of [...parent.children]) if (!stay.has(one)) one.remove()
  wanted.forEach((one, index) => {
    if (parent.children[index] !== one) parent.insertBefore(one, parent.children[index] ?? null)
  })
}

/** The values of a Map by key: those of `known` that are still wanted, and new ones that `create(key)` makes. */
export const kept = (known, keys, create) => new Map(keys.map(key => [key, known.get(key) ?? create(key)]))

const BUSY = ['aria-busy', 'aria-disabled']

/**
 * Marks a button as busy until something is done, which a second click meanwhile does not begin again. The button is not
 * disabled, because it would lose the focus.
 */
export async function whileBusy(button, act) {
  if (button.ariaBusy) return
  for (const name of BUSY) button.setAttribute(name, 'true')
  try {
    await act()
  } finally {
    for (const name of BUSY) button.removeAttribute(name)
  }
}

/** Sets only what differs, so that a video keeps playing and a button keeps its focus. */
export function set(element, props) {
  for (const [name, value] of Object.entries(props)) if (element[name] !== value) element[name] = value
}
