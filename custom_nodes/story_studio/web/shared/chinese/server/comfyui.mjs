/** Chinese for what ComfyUI itself says of nodes that it refuses, and of a full memory, by their templates. */
export default {
  "Return type mismatch between linked nodes: {}, received_type({}) mismatch input_type({})": "连接的类型不符：{1} 需要 {3}，而连接的是 {2}。",
  "Failed to convert an input value to a {} value: {}": "有输入值无法转换为 {} 类型：{}",
  "Value {} smaller than min of {}: {}": "{3} 的值 {1} 小于最小值 {2}。",
  "Value {} bigger than max of {}: {}": "{3} 的值 {1} 大于最大值 {2}。",
  "Custom validation failed for node: {}": "节点未通过自身的检查：{}",
  "Cannot execute because node {} does not exist.": "无法运行，因为节点 {} 不存在。",
  "Prompt has no outputs": "工作流没有输出节点",
  "This error means you ran out of memory on your GPU.": "这个错误表示显存不足。",
  "TIPS: If the workflow worked before you might have accidentally set the batch_size to a large number.": "提示：如果工作流以前能运行，可能是不小心把 batch_size 设得太大。",
}
