import { Module } from '@nestjs/common';
import { UserKeysController } from './user-keys.controller.js';
import { UserKeysService } from './user-keys.service.js';
import { UsersController } from './users.controller.js';
import { UsersService } from './users.service.js';

@Module({ controllers: [UsersController, UserKeysController], providers: [UsersService, UserKeysService] })
export class UsersModule {}
