/** The panel's texts in the language of the interface. The English text is the key, and the fallback. */

const CHINESE = {
  'No scenes yet. Choose Workflow > Browse Templates > story_studio and open Story or Draft; open a story file, or drop its folder on the canvas; or add a Still and a Clip node to your own workflow.':
    '还没有场景。在“工作流 > 浏览模板 > story_studio”中打开 Story 或 Draft；或打开故事文件，或将其文件夹拖到画布上；或在自己的工作流中添加“静帧”和“片段”节点。',
  Story: '故事',
  Storyboard: '分镜板',
  'Storyboard: the scenes of this story': '分镜板：这个故事的场景',
  Render: '渲染',
  Stills: '静帧',
  Clips: '片段',
  Film: '影片',
  Still: '静帧',
  Clip: '片段',
  Stop: '停止',
  'Render only the stills, to check them before the clips': '只渲染静帧：先看画面，再制作片段',
  'Render all clips, and the stills that they need': '渲染所有片段及其所需的静帧',
  'Render whatever the film still needs, and the film': '渲染影片尚缺的部分和影片本身',
  'Story file': '故事文件',
  'Open…': '打开…',
  'A story file (YAML or JSON) or a script, chosen together with its recordings': '故事文件（YAML 或 JSON）或剧本，与其录音一起选择',
  Save: '保存',
  'These scenes as a story file': '将这些场景保存为故事文件',
  'Show on the canvas': '在画布上显示',
  Scene: '场景',
  waiting: '等待',
  drawing: '绘制中',
  talking: '说话中',
  done: '完成',
  failed: '失败',
  'not rendered yet': '尚未制作',
  'Rendered before the last change': '在上次更改之前制作',
  'New take': '新版本',
  'New take of the still of {}': '{}的静帧的新版本',
  'New take of the clip of {}': '{}的片段的新版本',
  'Render only this still again, with another seed': '换一个种子：只重新制作这张静帧',
  'Render only this clip again, with another seed': '换一个种子：只重新制作这个片段',
  'Take chosen': '已选版本',
  'Takes {}': '版本 {}',
  'Takes of the still of {}': '{}的静帧的版本',
  'Takes of the clip of {}': '{}的片段的版本',
  'As the graph says': '按工作流',
  'No take chosen: the result of the graph': '不选版本：使用工作流制作的结果',
  'Use take {} of {}, {}': '使用版本 {}/{}，{}',
  'The still of {} has no seed of its own to change.': '{}的静帧没有自己的种子可改。',
  'The clip of {} has no seed of its own to change.': '{}的片段没有自己的种子可改。',
  '{} has no input "take" of its own: expose it on its subgraph node.':
    '{}没有自己的“take”输入：请将它放到子图外面。',
  'The story could not be read: {}': '无法读取故事：{}',
  'The server answered {} to /story_studio/{}.': '服务器返回 {}：/story_studio/{}。',
  'The story file names its files as they are in ComfyUI’s input folder: put it there.':
    '故事文件中的文件名与 ComfyUI 的 input 文件夹一致：请将它放在那里。',
  'None of these is a story file or a script: its name ends in .yaml or .json and it has scenes, or in .fountain, .csv, .srt, .vtt, .md or .txt.':
    '其中没有故事文件或剧本：故事文件以 .yaml 或 .json 结尾并包含 scenes，剧本以 .fountain、.csv、.srt、.vtt、.md 或 .txt 结尾。',
  '{} could not be uploaded: the server answered {}.': '无法上传 {}：服务器返回 {}。',
  'These files are missing: choose them in their Load nodes, or open the story again together with them: {}.':
    '缺少以下文件：请在加载节点中选择，或与它们一起重新打开故事：{}。',
  'A node': '一个节点',
  pass: '合格',
  warn: '注意',
  fail: '不合格',
  Close: '关闭',
  'Show the worst moments': '显示最差的时刻',
  'The worst moments of the clip': '片段最差的时刻',
  'Check of {}: {}. Show the worst moments': '{}的检查：{}。显示最差的时刻',
  'take {} of {}': '版本 {}（{}）',
  'face present': '有脸的帧',
  'face lost': '脸消失',
  'face height': '脸的高度',
  'face jitter': '脸的抖动',
  'sync confidence': '口型可信度',
  'sync offset': '口型偏移',
  identity: '同一张脸',
  frozen: '静止',
  black: '黑屏',
  flicker: '闪烁',
  sharpness: '清晰度',
  'colour drift': '颜色偏移',
  'largest jump': '最大跳变',
  'video less audio': '画面减声音',
  speech: '语音',
  loudness: '响度',
  clipped: '削波',
  'speech to noise': '语音信噪比',
  'first word cut': '首词被切',
  'last word cut': '末词被切',
}
let words = {}

/** Sets the language, as in ComfyUI's setting for its interface. */
export function speak(locale) {
  words = locale === 'zh' ? CHINESE : {}
}

/** A text in that language; each {} is replaced by the next part. */
export function t(english, ...parts) {
  return (words[english] ?? english).replace(/\{\}/g, () => parts.shift())
}
