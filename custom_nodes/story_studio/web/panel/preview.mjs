/** The still or the clip of a scene, large; the arrow keys lead to the other scenes. */
import { openDialog } from '../shared/dialog.mjs'
import { h, set } from '../shared/dom.mjs'
import { partName, t } from '../shared/words.mjs'
import { shownScenes } from '../state/shown.mjs'

/** The button that opens the preview of a scene's still or clip; `paint` takes the scene and its title. */
export function createEnlarge(id, part, studio) {
  const open = () => openPreview(studio, id, part)
  const element = h('button', { type: 'button', className: 'enlarge', textContent: '⤢', title: t('Show it large'), hidden: true, onclick: open })
  return {
    element,
    paint(scene, title) {
      set(element, { hidden: !scene[part].file })
      element.setAttribute('aria-label', t(`Show the ${part} of {} large`, title))
    },
  }
}

function openPreview(studio, id, part) {
  const heading = h('h3', { dir: 'auto' })
  const stage = h('div', { className: 'stage' })
  const prompt = h('p', { className: 'text', dir: 'auto' })
  const old = h('p', { className: 'note', textContent: t('Rendered before the last change') })
  const step = (sign, by, label) => h('button', { type: 'button', textContent: sign, onclick: () => go(by), aria: { label: t(label) } })
  const [back, on] = [step('←', -1, 'Previous scene'), step('→', 1, 'Next scene')]
  const keys = { ArrowLeft: () => go(-1), ArrowRight: () => go(1) }
  const head = h('div', { className: 'head' }, back, heading, on)
  let shown = ''
  heading.setAttribute('aria-live', 'polite')

  /** The scenes that have such a result. */
  const scenes = () => shownScenes(studio).filter(scene => scene[part]?.file)

  function go(by) {
    const all = scenes()
    const next = all[all.findIndex(scene => scene.id === id) + by]
    if (next) id = next.id
    paint(all)
  }

  function paint(all = scenes()) {
    const index = all.findIndex(scene => scene.id === id)
    const scene = all[index]
    if (!scene) return
    const url = studio.url(scene[part].file)
    set(heading, { textContent: scene.title })
    set(prompt, { textContent: scene.prompt, hidden: !scene.prompt })
    set(old, { hidden: !scene[part].old })
    // A button that is disabled while it has the focus keeps all keys from the dialog.
    back.setAttribute('aria-disabled', String(index === 0))
    on.setAttribute('aria-disabled', String(index === all.length - 1))
    if (shown === url) return
    shown = url
    const hasFocus = stage.contains(document.activeElement)
    const label = `${partName(part)}: ${scene.title}`
    stage.replaceChildren(
      part === 'still'
        ? h('img', { src: url, alt: label })
        : h('video', { src: url, controls: true, autoplay: true, aria: { label } }),
    )
    // Without the focus in it, no key reaches the dialog.
    if (hasFocus) (stage.querySelector('video') ?? on).focus()
  }

  const leave = studio.listen(() => paint())
  paint()
  openDialog({ label: partName(part), className: 'preview', keys, onclose: leave }, head, stage, old, prompt)
}
