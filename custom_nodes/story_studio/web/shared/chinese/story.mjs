export default {
  'ComfyUI has no node {}: install its node pack, and open the story again.': 'ComfyUI 没有节点 {}：请安装它的节点包，然后重新打开故事。',
  'Opening {}…': '正在打开 {}…',
  'Packing the ZIP file…': '正在打包 ZIP 文件…',
  'Models and settings': '模型和设置',
  'Storyboard and film': '分镜表和影片',
  'Change the story': '更改故事',
  'Save the story': '保存故事',
  'Some of this graph has no place in a story, and is lost:': '此工作流中的以下内容无法写入故事，将会丢失：',
}
