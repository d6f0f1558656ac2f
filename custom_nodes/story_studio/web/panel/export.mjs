/** What a film and its scenes are downloaded as. */
import { download, downloadAll } from '../actions/export.mjs'
import { save } from '../actions/story.mjs'
import { h, set, whileBusy } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'
import { captionsUrl } from './player.mjs'

export function createExport(studio) {
  let now = null
  const button = (label, onclick) => h('button', { type: 'button', textContent: label, onclick })
  const film = button(t('Film (MP4)'), () => download(studio.url(now.film.file), now.film.file.filename))
  const captions = h('div', { className: 'captions' })
  const story = button(t('Story file'), () => save(studio))
  const results = button(t('Stills and clips (ZIP)'), () => pack(results, ['stills', 'clips']))
  const all = button(t('Everything (ZIP)'), () => pack(all, ['film', 'captions', 'story', 'stills', 'clips']))
  const summary = h('summary', { textContent: t('Export…') })
  const element = h('details', { className: 'export' }, summary, h('div', { className: 'choices' }, film, captions, story, results, all))
  let listed = ''

  const pack = (button, parts) => whileBusy(button, () => downloadAll(studio, now.id, parts))

  return {
    element,
    summary,
    paint(shown, scenes) {
      now = shown
      set(film, { hidden: !shown.film })
      set(results, { hidden: !scenes.length })
      const { key = '', captions: languages = [] } = shown.film ?? {}
      if (listed === key + languages) return
      listed = key + languages
      const links = languages.flatMap(language => ['srt', 'vtt'].map(format => [language, format]))
      captions.replaceChildren(
        ...links.map(([language, format]) =>
          button(t('Captions {}', [language, format.toUpperCase()].filter(Boolean).join(' ')), () =>
            download(captionsUrl(studio, key, language, format, true), ''),
          ),
        ),
      )
    },
  }
}
