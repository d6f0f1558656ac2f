/** Dialogs over ComfyUI, of the panel. */
import { h } from './dom.mjs'
import { t } from './words.mjs'

/**
 * Opens a dialog in the panel that Escape, its button and a click beside it close; then the focus returns to where it was.
 *
 * @param props `label`, its name; `className`; `keys`, what pressing a key does, by its name; `onclose`.
 * @returns {HTMLDialogElement} the dialog.
 */
export function openDialog({ label, className = '', keys = {}, onclose = () => {} }, ...children) {
  const before = document.activeElement
  const close = h('button', { type: 'button', className: 'close', textContent: t('Close'), onclick: () => dialog.close() })
  const dialog = h('dialog', { className: `dialog ${className}`, aria: { label } }, ...children, close)
  dialog.onclick = event => event.target === dialog && dialog.close()
  dialog.onclose = () => {
    dialog.remove()
    onclose()
    before?.focus?.()
  }
  dialog.onkeydown = event => {
    // ComfyUI has its own use for Escape and for letters, and keeps Escape from the browser.
    event.stopPropagation()
    const act = event.key === 'Escape' ? () => dialog.close() : keys[event.key]
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    act()
  }
  // What asks may have waited while the panel was closed.
  const panel = document.querySelector('.story-studio') ?? document.body
  panel.append(dialog)
  dialog.showModal()
  return dialog
}
