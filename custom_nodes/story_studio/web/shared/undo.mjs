/** Undo on the canvas, beside text that was typed in the panel. */

/**
 * Keeps the browser from undoing what was typed while the focus is elsewhere: besides what ComfyUI undoes then, it
 * would change a text of the panel, and move the focus there, so that the next Ctrl+Z no longer reaches ComfyUI.
 */
export function leaveUndoToComfyUI() {
  window.addEventListener('keydown', event => {
    const undoes = (event.ctrlKey || event.metaKey) && ['z', 'y'].includes(event.key.toLowerCase())
    if (undoes && !event.target.closest?.('input, textarea, [contenteditable]')) event.preventDefault()
  })
}
