/** Questions with several answers. */
import { openDialog } from './dialog.mjs'
import { h } from './dom.mjs'
import { t } from './words.mjs'

/** Asks for one of several `[value, label]`; undefined if the dialog is closed without an answer. */
export function choose(question, options) {
  return new Promise(resolve => {
    let answer
    const button = ([value, label]) => h('button', { type: 'button', textContent: label, onclick: () => ((answer = value), dialog.close()) })
    const buttons = [...options, [undefined, t('Cancel')]].map(button)
    const props = { label: question, className: 'question', onclose: () => resolve(answer) }
    const dialog = openDialog(props, h('p', { textContent: question }), h('div', { className: 'tools' }, ...buttons))
  })
}
