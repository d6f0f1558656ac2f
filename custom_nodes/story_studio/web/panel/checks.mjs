/** What a check says of a clip: its verdict as a badge, and the image of its worst moments. */
import { SIGNS } from '../shared/check_texts.mjs'
import { openDialog } from '../shared/dialog.mjs'
import { h, set } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'

/** A badge that shows the image of the worst moments when it is clicked; `paint` takes a check or nothing. */
export function createBadge(studio) {
  let check = null
  const element = h('button', { type: 'button', className: 'verdict', hidden: true, onclick: () => showSheet(studio.url(check.sheet)) })
  return {
    element,
    paint(now, title) {
      check = now
      set(element, { hidden: !check })
      if (!check) return
      element.dataset.verdict = check.verdict
      set(element, { textContent: `${SIGNS[check.verdict]} ${t(check.verdict)}`, title: t('Show the worst moments') })
      element.setAttribute('aria-label', t('Check of {}: {}. Show the worst moments', title, t(check.verdict)))
    },
  }
}

function showSheet(src) {
  const image = h('img', { src, alt: t('The worst moments of the clip'), onclick: () => dialog.close() })
  const dialog = openDialog({ label: image.alt, className: 'sheet' }, image)
}
