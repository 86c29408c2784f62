export default { listeners: ;
