/** Menus of the panel. */
import { h } from './dom.mjs'

/** A button and the menu that it opens: arrows move in it, Escape closes it. */
export function createMenu(label, entries) {
  const button = h('button', { type: 'button', textContent: label, aria: { haspopup: 'menu', expanded: 'false' } })
  const items = entries.map(([text, act]) =>
    h('button', { type: 'button', role: 'menuitem', tabIndex: -1, textContent: text, onclick: () => (open(false), button.focus(), act()) }),
  )
  const list = h('div', { role: 'menu', className: 'entries', hidden: true, aria: { label } }, ...items)

  function open(wanted) {
    list.hidden = !wanted
    button.setAttribute('aria-expanded', String(wanted))
    if (wanted) items.find(item => !item.hidden)?.focus()
  }

  button.onclick = () => open(list.hidden)
  list.onkeydown = event => {
    const shown = items.filter(item => !item.hidden)
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step) shown.at((shown.indexOf(document.activeElement) + step) % shown.length).focus()
    else if (event.key === 'Escape') (open(false), button.focus())
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  list.onfocusout = event => list.contains(event.relatedTarget) || event.relatedTarget === button || open(false)
  return { button, list, items }
}
