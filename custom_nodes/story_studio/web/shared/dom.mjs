/** Elements of the panel. Text from a story is inserted as text, never as HTML. */

export function h(tag, props = {}, ...children) {
  const { aria = {}, ...rest } = props
  const element = Object.assign(document.createElement(tag), rest)
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value)
  element.append(...children)
  return element
}

/** Sets only what differs, so that a video keeps playing and a button keeps its focus. */
export function set(element, props) {
  for (const [name, value] of Object.entries(props)) if (element[name] !== value) element[name] = value
}
