// The part of a notebook that the live graph's script sees: a model to read, to listen to and to send to.
async ([script, style, state]) => {
    document.head.append(Object.assign(document.createElement('style'), {textContent: style}));
    const listeners = [];
    window.sent = [];
    window.told = (message) => listeners.forEach((f) => f(message));
    const model = {get: (name) => state[name], on: (_, f) => listeners.push(f), off: () => {},
                   send: (message) => window.sent.push(message)};
    const module = await import(URL.createObjectURL(new Blob([script], {type: 'text/javascript'})));
    const parts = module.default();
    parts.initialize({model});
    window.again = (el) => { window.dispose = parts.render({model, el}); };
    window.again(document.body.appendChild(document.createElement('div')));
}
