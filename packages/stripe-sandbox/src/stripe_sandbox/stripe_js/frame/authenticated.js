// Tell the page that opened the 3-D Secure step that it has finished. That page reads the outcome from the API.
window.parent.postMessage("stripe-sandbox:authenticated", "*");
