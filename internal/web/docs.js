// Addresses are relative to the page, which may lie below a path of a proxy.
window.ui = SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [SwaggerUIBundle.plugins.DownloadUrl],
  layout: 'BaseLayout',
  showExtensions: true,
  showCommonExtensions: true,
  validatorUrl: null, // it would be asked over the internet
  defaultModelsExpandDepth: -1, // hides the list of schemas
  persistAuthorization: true, // a token that was entered survives a reload
  tryItOutEnabled: true,
});
