import { Nested } from '../core/fields.js';
import { MachineView } from '../machines/machines.dto.js';
import { LicenseView } from './licenses.dto.js';

/** A license as its holder sees it: with what the holder may free. */
export class MyLicenseView extends LicenseView {
  @Nested(() => MachineView, {
    help: 'Its active machines, the 100 newest first; `machineCount` says how many there are, and `GET /machines` lists all.',
    list: true,
  })
  machines!: MachineView[];
}
